"""What every answer of the control plane is made of."""

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """What is answered: made from core values by their names."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, from_attributes=True)

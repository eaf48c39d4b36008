"""A model-serving gateway that judges its own canaries from the truth that comes back.

Read the three stories first: :mod:`gateway.predict`, :mod:`gateway.feedback`, :mod:`gateway.control`.
"""

__version__ = "0.1.0"

"""Who acts when no person does: the names that decisions of the timeline carry. No key may bear one of them."""

AGENT = "agent"
"""A host's agent: what is ready, what has died."""
BANDIT = "bandit"
"""A step that leans."""
DRIFT = "drift"
"""What the features or answers have become."""
JUDGE = "judge"
"""A verdict, by the plan."""
REGISTRY = "registry"
"""An alias that somebody moved."""
RETRAINING = "retraining"
"""A run that trains a model again."""

NOBODY = frozenset({AGENT, BANDIT, DRIFT, JUDGE, REGISTRY, RETRAINING})
"""All of them."""

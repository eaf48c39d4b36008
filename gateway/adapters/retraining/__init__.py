"""Who trains a model again: a file per way to call them."""

from pathlib import Path

from gateway.adapters.retraining.command import CommandTarget
from gateway.adapters.retraining.memory import MemoryTarget as MemoryTarget
from gateway.adapters.retraining.webhook import WebhookTarget
from gateway.core.retraining.terms import Target, TargetKind
from gateway.ports import RetrainingTarget


def open_target(target: Target, folder: Path) -> RetrainingTarget:
    """Make ready to call a target once. What a command prints goes into a file of the run's name in ``folder``."""
    if target.kind is TargetKind.COMMAND:
        return CommandTarget(target.command, folder, target.timeout_s)
    return WebhookTarget(target)

"""Flags that may name who answers: OpenFeature, evaluated in the worker's own process."""

from gateway.adapters.flags.openfeature import OpenFeatureFlags, open_flags

__all__ = ["OpenFeatureFlags", "open_flags"]

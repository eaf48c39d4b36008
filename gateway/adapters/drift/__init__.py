"""Drift's side of the world: how what is kept is written, the offline store, Evidently, and the way to people."""

from gateway.adapters.drift.alerting import DriftAlerts as DriftAlerts
from gateway.adapters.drift.codec import PackedDriftCodec as PackedDriftCodec
from gateway.adapters.drift.evidently import Reporter as Reporter
from gateway.adapters.drift.skew import Comparer as Comparer

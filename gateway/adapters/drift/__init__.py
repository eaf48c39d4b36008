"""Drift's side of the world: how what is kept is written, the offline store, and the way to people."""

from gateway.adapters.drift.alerting import DriftAlerts as DriftAlerts
from gateway.adapters.drift.codec import PackedDriftCodec as PackedDriftCodec
from gateway.adapters.drift.codec import decode_profile as decode_profile
from gateway.adapters.drift.codec import encode_profile as encode_profile
from gateway.adapters.drift.skew import Comparer as Comparer

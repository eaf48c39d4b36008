"""Drift's side of the world: what is kept and how it is written, profiles beside models, the offline store."""

from gateway.adapters.drift.codec import PackedDriftCodec as PackedDriftCodec
from gateway.adapters.drift.codec import decode_profile as decode_profile
from gateway.adapters.drift.codec import encode_profile as encode_profile

"""What drift watches remember, as MessagePack: infinities survive."""

import msgspec

from gateway.adapters.models.profile import decode_profile, encode_profile
from gateway.core.drift.profiles import Profile
from gateway.core.drift.report import Skew
from gateway.core.errors import StoreUnavailable
from gateway.drifting import Remembered

_REMEMBERED = msgspec.msgpack.Decoder(Remembered)
_SKEW = msgspec.msgpack.Decoder(Skew)


class PackedDriftCodec:
    """The drift story's DriftCodec."""

    def encode(self, kept: Remembered) -> bytes:
        """Write it down."""
        return msgspec.msgpack.encode(kept)

    def decode(self, raw: bytes) -> Remembered:
        """Read it back. Raises StoreUnavailable when it is none."""
        try:
            return _REMEMBERED.decode(raw)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"What a drift watch remembered cannot be read: {error}") from error

    def encode_profile(self, profile: Profile) -> bytes:
        """Write it down."""
        return encode_profile(profile)

    def decode_profile(self, raw: bytes) -> Profile:
        """Read it back. Raises ModelUnusable when it is none."""
        return decode_profile(raw)

    def encode_skew(self, skew: Skew) -> bytes:
        """Write it down."""
        return msgspec.msgpack.encode(skew)

    def decode_skew(self, raw: bytes) -> Skew:
        """Read it back. Raises StoreUnavailable when it is none."""
        try:
            return _SKEW.decode(raw)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"What is known of skew cannot be read: {error}") from error

"""The reference profile that lies beside a model: ``profile.json`` in its artifact, written when the model is saved."""

import msgspec

from gateway.core.drift.profiles import Profile
from gateway.core.errors import ModelUnusable

PROFILE_FILE = "profile.json"
_DECODER = msgspec.json.Decoder(Profile)


def encode_profile(profile: Profile) -> bytes:
    """Write a profile down as people can read it."""
    return msgspec.json.format(msgspec.json.encode(profile), indent=1)


def decode_profile(raw: bytes) -> Profile:
    """Read one. Raises ModelUnusable when it is none."""
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        raise ModelUnusable(f"The model's {PROFILE_FILE} cannot be read: {error}.") from error

"""What the judge remembers, as JSON: plain data that comes back bit for bit."""

import msgspec

from gateway.core.errors import StoreUnavailable
from gateway.core.judging import JudgeState

_DECODER = msgspec.json.Decoder(JudgeState)


class JsonJudgeCodec:
    """The control story's JudgeCodec."""

    def encode(self, case: JudgeState) -> bytes:
        """Write it down."""
        return msgspec.json.encode(case)

    def decode(self, raw: bytes) -> JudgeState:
        """Read it back. Raises StoreUnavailable when it is none."""
        try:
            return _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"What the judge remembered cannot be read: {error}") from error

"""What the judge remembers, as JSON: plain data that comes back bit for bit.

Judges grow by addition, and a state of an earlier one is read with what it lacks left empty. One thing changed shape:
up to judge 2 a ranking (``auc``) kept the scores that wait for a partner bare, since then one to a tuple.
"""

from typing import Any

import msgspec

from gateway.core.errors import EvidenceUnreadable
from gateway.core.judging import JudgeState

_DECODER = msgspec.json.Decoder(JudgeState)
_BARE_SCORES = frozenset({"1", "2"})


class JsonJudgeCodec:
    """The control story's JudgeCodec."""

    def encode(self, case: JudgeState) -> bytes:
        """Write it down."""
        return msgspec.json.encode(case)

    def decode(self, raw: bytes) -> JudgeState:
        """Read it back, an earlier judge's too. Raises EvidenceUnreadable when it is none."""
        try:
            return _DECODER.decode(raw)
        except msgspec.ValidationError as error:
            return _lifted(raw, error)
        except msgspec.DecodeError as error:
            raise EvidenceUnreadable(str(error)) from error


def _lifted(raw: bytes, found: msgspec.ValidationError) -> JudgeState:
    """Read a state whose rankings keep bare scores. Raises EvidenceUnreadable for anything else."""
    state = msgspec.json.decode(raw)
    if not isinstance(state, dict) or state.get("version") not in _BARE_SCORES:
        raise EvidenceUnreadable(str(found)) from found
    try:
        for case in state.get("ranks", {}).values():
            for arm in ("stable", "candidate"):
                case[arm] |= {side: _in_tuples(case[arm][side]) for side in ("positives", "negatives")}
        return msgspec.convert(state, JudgeState)
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
        raise EvidenceUnreadable(str(error)) from error


def _in_tuples(scores: list[Any]) -> list[Any]:
    return [score if isinstance(score, list) else [score] for score in scores]

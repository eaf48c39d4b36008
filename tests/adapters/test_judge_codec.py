"""What the judge remembers, read back: to the bit, from an earlier judge too, and refused in words where it is none."""

from pathlib import Path

import msgspec
import pytest

from gateway.adapters.store.judge_codec import JsonJudgeCodec
from gateway.core.deployments import Task
from gateway.core.errors import EvidenceUnreadable
from gateway.core.events import EvidenceRow, Position
from gateway.core.judging import look, open_case, verdict
from gateway.core.metrics import default_guardrail

CODEC = JsonJudgeCodec()
OF_JUDGE_2 = Path(__file__).parent / "data" / "judge_2_with_auc.json"
"""Sixty requests as judge 2 kept them, with ``auc`` among the guardrails."""


def test_what_is_remembered_comes_back_to_the_bit() -> None:
    state = open_case((default_guardrail("auc"),), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0)
    assert CODEC.decode(CODEC.encode(state)) == state


def test_a_ranking_that_judge_2_kept_is_read_and_judged_on() -> None:
    state = CODEC.decode(OF_JUDGE_2.read_bytes())
    assert state.version == "2"
    assert state.ranks["auc"].candidate.negatives == ((0.374,), (0.467,), (0.354,))
    rows = [
        EvidenceRow(Position(60.0 + n, "s", 60 + n), n % 3 == 0, 0.3, False, 1, 0.7, None, 0.01, {"label": n % 2})
        for n in range(60)
    ]
    after = look(state, health=rows, mature=rows, pairs=[], at=120.0)
    found = {one.metric: one for one in verdict(after, 120.0).findings}
    assert found["accuracy"].n_candidate > sum(one.n_candidate for one in state.rates["accuracy"].strata)
    assert after.ranks["auc"].stable.n_positive > state.ranks["auc"].stable.n_positive
    assert CODEC.decode(CODEC.encode(after)) == after


@pytest.mark.parametrize("change", [{"version": "3"}, {"rates": 7}, {"ranks": {"auc": []}}, {"ranks": {"auc": {}}}])
def test_what_cannot_be_read_is_said_in_words(change: dict[str, object]) -> None:
    state = msgspec.json.decode(OF_JUDGE_2.read_bytes())
    with pytest.raises(EvidenceUnreadable, match="What the judge remembered cannot be read"):
        CODEC.decode(msgspec.json.encode(state | change))


@pytest.mark.parametrize("raw", [b"", b"{", b"7", b"[]"])
def test_what_is_no_state_at_all_is_said_in_words(raw: bytes) -> None:
    with pytest.raises(EvidenceUnreadable):
        CODEC.decode(raw)

"""What every control state promises of its trail: each line sealed in the transaction that writes it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store import open_store
from gateway.core.audit import BEGINNING, Head, faults
from gateway.core.errors import RevisionConflict
from gateway.core.events import Decision
from gateway.core.state import DeploymentState
from gateway.ports import ControlState
from tests.contracts.test_control_state import STATE
from tests.postgres_house import fresh


@pytest.fixture(params=["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlState]:
    store = open_store(fresh(request.param, tmp_path=tmp_path))
    yield store.control
    store.close()


def line(state: DeploymentState, reason: str = "because") -> Decision:
    return Decision(state.deployment, state.revision, "apply", "ann", reason, 1.0, 2.0)


def grown(state: DeploymentState, revision: int) -> DeploymentState:
    return replace(state, revision=revision)


def test_lines_of_several_deployments_are_chains_of_their_own(control: ControlState) -> None:
    other = replace(STATE, deployment="churn")
    for revision in range(1, 6):
        for state in (STATE, other):
            control.write(grown(state, revision), revision - 1, [line(grown(state, revision), f"step {revision} €")])
    trail = control.trail()
    assert {name: len(links) for name, links in trail.links.items()} == {STATE.deployment: 5, "churn": 5}
    heads = {name: control.head(name) for name in trail.links}
    assert faults(trail, heads) == []
    assert heads["churn"].count == 5
    assert heads["churn"].seal != heads[STATE.deployment].seal


def test_a_head_that_was_noted_earlier_still_holds(control: ControlState) -> None:
    control.write(grown(STATE, 1), 0, [line(grown(STATE, 1))])
    head = control.head(STATE.deployment)
    control.write(grown(STATE, 2), 1, [line(grown(STATE, 2)), line(grown(STATE, 2), "and again")])
    assert faults(control.trail(), {STATE.deployment: head}) == []
    assert control.head(STATE.deployment).count == 3


def test_a_write_that_does_not_hold_leaves_no_line(control: ControlState) -> None:
    control.write(grown(STATE, 1), 0, [line(grown(STATE, 1))])
    with pytest.raises(RevisionConflict):
        control.write(grown(STATE, 9), 5, [line(grown(STATE, 9))])
    assert control.head(STATE.deployment).count == 1
    assert faults(control.trail(), {}) == []


def test_nothing_has_a_head_before_its_first_line(control: ControlState) -> None:
    assert control.head("nobody") == Head(0, BEGINNING)
    assert faults(control.trail(), {}) == []

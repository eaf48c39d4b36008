"""Aliases drive rollouts, decisions go back to the registry; a registry that is away changes nothing that serves."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from gateway.adapters.models.memory import MemoryModelStore, Script
from gateway.adapters.registry import MemoryRegistry
from gateway.core.aliases import CHALLENGER, CHAMPION
from gateway.core.deployments import Plan, Step
from gateway.core.errors import ModelUnusable, Quarantined, RegistryUnavailable
from gateway.core.features import NO_FEATURES
from gateway.core.gates import Gate, GateResult
from gateway.core.rollout import Phase, Signal
from gateway.core.rules import Freeze, StartRules
from gateway.documents import Note
from gateway.edge.control_parts import Prepared
from gateway.ports import RegisteredVersion
from gateway.processes.registry_watch import MOST_TRIES, Reach, RegistryWatch
from gateway.registry import Following
from tests.control_house import NAME, SPEC, T0, House, card

MODEL = SPEC.model
FOLLOWS = replace(SPEC, follow_aliases=True, default_plan="quick")
GOOD = {"1": 0.2, "2": 0.2, "3": 0.2}
WORSE = {"1": 0.2, "2": 0.6}

_T = TypeVar("_T")


@dataclass(slots=True)
class Desk:
    """A deployment that follows its aliases, the registry with four versions, and the watch between them."""

    house: House
    store: MemoryModelStore = field(default_factory=MemoryModelStore)
    registry: MemoryRegistry = field(init=False)
    watch: RegistryWatch = field(init=False)
    prepared: list[str] = field(default_factory=list)
    refusals: dict[str, GateResult] = field(default_factory=dict)
    unusable: dict[str, ModelUnusable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for base in range(4):
            self.store.add(MODEL, Script(base))
        self.registry = MemoryRegistry(self.store)
        self.store.alias(MODEL, CHAMPION, 1)
        reach = Reach(self.registry, self.prepare, self.vet, self.run)
        self.watch = RegistryWatch(
            reach, Following(self.house.control), lambda: {NAME: self.house.document}, every_s=1.0
        )

    async def run(self, work: Callable[[], _T]) -> _T:
        """Work at once: there is one thread here."""
        await asyncio.sleep(0)
        return work()

    async def prepare(self, deployment: str, uri: str) -> Prepared:  # noqa: ARG002 - there is one
        """The version named."""
        version = uri.rpartition("/")[2]
        self.prepared.append(version)
        if version in self.unusable:
            raise self.unusable[version]
        return Prepared(card(version), NO_FEATURES)

    async def vet(self, deployment: str, prepared: Prepared) -> Sequence[GateResult]:  # noqa: ARG002 - there is one
        """Passes, unless told otherwise."""
        return [self.refusals.get(prepared.model.version, GateResult(Gate.SCHEMA, True, "fine."))]

    async def challenge(self, version: int) -> None:
        """Move the alias, look twice, and let every worker have the model."""
        self.store.alias(MODEL, CHALLENGER, version)
        await self.rounds()
        if CHALLENGER in self.house.document.rollouts:
            self.house.control.ready(NAME, self.house.rollout(CHALLENGER).generation)

    async def rounds(self, count: int = 2) -> None:
        """Look so often."""
        for _ in range(count):
            await self.watch.round()

    @property
    def aliases(self) -> dict[str, str]:
        """As they stand in the registry."""
        return dict(self.store.aliases(MODEL))

    def version(self, number: int) -> RegisteredVersion:
        """A version as the registry shows it."""
        return next(one for one in self.registry.versions(MODEL) if one.version == str(number))

    def tag(self, number: int, name: str) -> str | None:
        """One of our tags on a version."""
        return self.version(number).tags.get(f"gateway.{NAME}.{name}")

    def actions(self) -> list[str]:
        """What was done, oldest first."""
        return [decision.action for decision in reversed(self.house.state.timeline(NAME))]


@pytest.fixture
def desk() -> Desk:
    return Desk(House().open(FOLLOWS))


async def test_nothing_moves_while_no_alias_does(desk: Desk) -> None:
    await desk.rounds(3)
    assert desk.actions() == ["found"]
    assert desk.aliases == {CHAMPION: "1"}


async def test_a_deployment_that_does_not_follow_aliases_leaves_them_alone() -> None:
    desk = Desk(House().open(SPEC))
    desk.store.alias(MODEL, CHALLENGER, 2)
    await desk.rounds()
    assert desk.actions() == ["found"]


async def test_a_challenger_starts_a_rollout_by_the_default_plan_once(desk: Desk) -> None:
    await desk.challenge(2)
    await desk.rounds(3)
    rollout = desk.house.rollout(CHALLENGER)
    assert (rollout.phase, rollout.model.version, rollout.plan.name) == (Phase.RUNNING, "2", "quick")
    assert desk.prepared == ["2"]
    assert desk.actions() == ["found", "start", "ready"]


async def test_a_promotion_moves_champion_clears_challenger_and_tags_when_why_and_by_which_rule(desk: Desk) -> None:
    await desk.challenge(2)
    assert desk.house.live(40, GOOD)[-1].action == "promote"
    await desk.rounds()
    assert desk.aliases == {CHAMPION: "2"}
    assert desk.tag(2, "decision") == "promoted"
    assert desk.tag(2, "rule") == "judge, plan quick"
    assert "2013-03-11" in (desk.tag(2, "data_time") or "")
    assert '"finding":"pass"' in (desk.tag(2, "evidence") or "")
    assert desk.tag(2, "reason")
    assert desk.house.document.outbox == ()


async def test_a_demotion_clears_challenger_tags_the_reason_and_leaves_champion(desk: Desk) -> None:
    await desk.challenge(2)
    assert desk.house.live(40, WORSE)[-1].action == "demote"
    await desk.rounds()
    assert desk.aliases == {CHAMPION: "1"}
    assert desk.tag(2, "decision") == "demoted"
    assert "accuracy" in (desk.tag(2, "reason") or "")


async def test_an_alias_that_moves_again_replaces_the_candidate_under_a_new_generation(desk: Desk) -> None:
    await desk.challenge(2)
    before = desk.house.rollout(CHALLENGER)
    await desk.challenge(3)
    after = desk.house.rollout(CHALLENGER)
    assert (after.model.version, after.phase) == ("3", Phase.RUNNING)
    assert after.generation != before.generation
    assert after.salt != before.salt
    await desk.rounds()
    assert desk.aliases == {CHAMPION: "1", CHALLENGER: "3"}
    assert desk.tag(2, "decision") == "replaced"
    assert desk.house.document.stays == {}  # it did nothing wrong


async def test_an_alias_that_is_taken_away_ends_its_candidate_and_no_other(desk: Desk) -> None:
    desk.house.start("4", name="by-hand")
    await desk.challenge(2)
    desk.store.unalias(MODEL, CHALLENGER)
    await desk.rounds()
    assert desk.house.rollout(CHALLENGER).phase is Phase.DEMOTED
    assert desk.house.rollout("by-hand").phase is Phase.RUNNING
    assert desk.actions()[-2:] == ["withdraw", "tell"]


async def test_a_candidate_of_that_version_that_somebody_started_by_hand_is_not_started_again(desk: Desk) -> None:
    desk.house.start("2", name="by-hand")
    await desk.challenge(2)
    assert CHALLENGER not in desk.house.document.rollouts


async def test_a_rollback_moves_champion_back(desk: Desk) -> None:
    await desk.challenge(2)
    desk.house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="now", candidate=CHALLENGER)
    await desk.rounds()
    desk.house.control.rollback(NAME, actor="ann", reason="no")
    await desk.rounds()
    assert desk.aliases == {CHAMPION: "1"}
    assert (desk.tag(1, "decision"), desk.tag(1, "rule"), desk.tag(1, "reason")) == ("restored", "ann", "no")


async def test_a_registry_that_is_away_changes_nothing_and_is_told_later(desk: Desk) -> None:
    await desk.challenge(2)
    revision = desk.house.document.revision
    desk.registry.away = True
    await desk.rounds(3)
    assert desk.house.document.revision == revision
    assert desk.house.live(40, GOOD)[-1].action == "promote"
    await desk.rounds(3)
    assert desk.house.document.stable.model.version == "2"
    assert [entry.ending.value for entry in desk.house.document.outbox] == ["promoted"]
    assert "away" in desk.watch.trouble[NAME]
    desk.registry.away = False
    await desk.rounds()
    assert desk.aliases == {CHAMPION: "2"}
    assert desk.watch.trouble == {}


async def test_what_was_told_but_not_written_down_is_told_again_without_harm(desk: Desk) -> None:
    await desk.challenge(2)
    desk.house.live(40, WORSE)
    kept = desk.house.document.outbox
    await desk.rounds()
    state = desk.house.document
    desk.house.control.change(NAME, lambda now: replace(now, outbox=kept), _note())
    desk.store.alias(MODEL, CHALLENGER, 3)  # somebody has moved on meanwhile
    await desk.rounds()
    assert desk.aliases[CHALLENGER] == "3"
    assert state.outbox == desk.house.document.outbox == ()


async def test_a_model_that_the_gate_refuses_is_written_down_and_its_alias_cleared(desk: Desk) -> None:
    desk.refusals["2"] = GateResult(Gate.LATENCY, False, "answering takes 9 s; 1 s is all that is allowed.", 9.0, 1.0)
    await desk.challenge(2)
    assert CHALLENGER not in desk.house.document.rollouts
    [line] = [decision for decision in desk.house.state.timeline(NAME) if decision.action == "refuse"]
    assert line.reason == "Gate latency: answering takes 9 s; 1 s is all that is allowed."
    assert line.evidence["gates"][0]["figure"] == 9.0
    assert desk.aliases == {CHAMPION: "1"}
    assert desk.tag(2, "decision") == "refused"


async def test_a_refused_model_may_be_tried_again_by_setting_the_alias_again(desk: Desk) -> None:
    desk.unusable["2"] = ModelUnusable("Its digest is not what the registry says.")
    await desk.challenge(2)
    desk.unusable.clear()
    await desk.challenge(2)
    assert desk.house.rollout(CHALLENGER).phase is Phase.RUNNING


async def test_an_artifact_that_does_not_come_is_asked_for_again_and_not_for_ever(desk: Desk) -> None:
    desk.unusable["2"] = RegistryUnavailable("The artifact store is away.")
    desk.store.alias(MODEL, CHALLENGER, 2)
    await desk.rounds(MOST_TRIES - 1)
    assert "version 2 waits" in desk.watch.trouble[NAME]
    assert desk.actions() == ["found"]
    await desk.rounds(2)
    assert desk.actions() == ["found", "refuse", "tell"]


async def test_a_demoted_model_stays_out_even_when_its_alias_is_set_again(desk: Desk) -> None:
    await desk.challenge(2)
    desk.house.live(40, WORSE)
    await desk.rounds()
    await desk.challenge(2)
    assert desk.house.rollout(CHALLENGER).phase is Phase.DEMOTED
    assert desk.tag(2, "decision") == "refused"
    assert "was demoted 1 time and stays out until" in (desk.tag(2, "reason") or "")
    with pytest.raises(Quarantined):
        desk.house.start("2")


async def test_a_challenger_waits_out_a_freeze(desk: Desk) -> None:
    frozen = replace(FOLLOWS, starts=StartRules(freezes=(Freeze("holidays", before=T0 + 100.0),)))
    desk.house.control.apply(frozen, actor="ann", reason="holidays")
    await desk.challenge(2)
    assert "freeze 'holidays'" in desk.watch.trouble[NAME]
    assert desk.prepared == []
    desk.house.clock.advance(100.0)
    await desk.challenge(2)
    assert desk.house.rollout(CHALLENGER).phase is Phase.RUNNING


async def test_a_champion_moved_by_somebody_else_is_said_and_not_followed(desk: Desk) -> None:
    desk.store.alias(MODEL, CHAMPION, 3)
    await desk.rounds()
    assert "champion names version 3, but version 1 is stable" in desk.watch.trouble[NAME]
    assert desk.actions() == ["found"]


@pytest.fixture
async def watched() -> Desk:
    """Version 2 was promoted by a plan with a watch period, the registry knows, and version 1 watches it."""
    plan = Plan("watched", (Step(weight=0.5, events=50),), watch_s=2_000.0)
    desk = Desk(House().open(replace(FOLLOWS, plans={"watched": plan}, default_plan=None)))
    await desk.challenge(2)
    assert desk.house.live(40, GOOD)[-1].action == "promote"
    await desk.rounds()
    return desk


async def test_a_version_under_watch_is_champion_and_its_cleared_alias_takes_nothing_back(watched: Desk) -> None:
    await watched.rounds(3)
    assert watched.aliases == {CHAMPION: "2"}
    assert watched.tag(2, "decision") == "promoted"
    assert watched.house.rollout(CHALLENGER).phase is Phase.WATCHED
    assert watched.actions()[-2:] == ["promote", "tell"]


async def test_a_version_that_is_brought_down_under_watch_is_tagged_stays_out_and_champion_returns(
    watched: Desk,
) -> None:
    for _ in range(9):
        watched.house.serve(100, WORSE)
        watched.house.look()
    await watched.rounds()
    assert watched.aliases == {CHAMPION: "1"}
    assert (watched.tag(2, "decision"), watched.tag(1, "decision")) == ("demoted", "restored")
    assert "After its promotion" in (watched.tag(2, "reason") or "")
    assert list(watched.house.document.stays) == ["digest-2"]


async def test_the_next_challenger_waits_until_the_watch_is_over(watched: Desk) -> None:
    await watched.challenge(3)
    assert "Version 2 was promoted and is under watch" in watched.watch.trouble[NAME]
    assert watched.prepared == ["2"]
    watched.house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="seen enough", candidate=CHALLENGER)
    await watched.challenge(3)
    assert (watched.house.rollout(CHALLENGER).model.version, watched.aliases) == ("3", {CHAMPION: "2", CHALLENGER: "3"})
    assert watched.tag(2, "decision") == "promoted"


def _note() -> Note:
    return Note("test", "test", "puts the outbox back")

"""A flag may name who answers: such a request is no evidence, a flag revives nobody, and a broken one does nothing."""

import os
from pathlib import Path
from typing import Any

import pytest
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from gateway.adapters.flags import OpenFeatureFlags, open_flags
from gateway.core.deployments import ServingRules
from gateway.core.errors import SettingsError
from tests.data_house import BODY, House, canary, table

RULES = """
arm:
  default: ""
  rules:
    - when: {flight: 7, deployment: flight-delay}
      variant: canary
    - when: {caller: batch}
      variant: stable
"""


def flagged(flags: Any, weight: float = 0.0) -> House:
    return House(table(canary(weight), rules=ServingRules(flag="arm")), flags=flags)


def provider() -> InMemoryProvider:
    """A provider as a user would make one."""
    return InMemoryProvider({"arm": InMemoryFlag("on", {"on": "canary"})})


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "flags.yaml"
    path.write_text(RULES)
    return path


async def test_a_flag_names_who_answers_and_the_request_is_no_evidence(rules: Path) -> None:
    house = flagged(open_flags(str(rules)), weight=0.000001)
    assert (await house.ask()).variant == "canary"
    assert (await house.ask({**BODY, "entities": {"flight": 8}})).variant == "stable"
    assert [record.randomised for record in house.predictions] == [False, True]


async def test_attributes_are_the_entities_the_deployment_and_the_caller(rules: Path) -> None:
    house = flagged(open_flags(str(rules)), weight=1.0)
    assert (await house.ask({**BODY, "entities": {"flight": 8}}, caller="batch")).variant == "stable"
    assert (await house.ask({**BODY, "entities": {"flight": 8}}, caller="shop")).variant == "canary"


async def test_a_flag_revives_nobody(rules: Path) -> None:
    house = flagged(open_flags(str(rules)), weight=1.0)
    house.routing.leased = False
    assert (await house.ask()).variant == "stable"
    assert house.predictions[0].randomised


async def test_a_flag_that_names_nobody_here_or_is_not_there_overrides_nothing() -> None:
    for name in ("nobody", ""):
        flags = OpenFeatureFlags(InMemoryProvider({"arm": InMemoryFlag("on", {"on": name})}))
        house = flagged(flags)
        assert (await house.ask()).variant == "stable"
        assert house.predictions[0].randomised
    house = flagged(OpenFeatureFlags(InMemoryProvider({})))
    assert (await house.ask()).variant == "stable"


async def test_a_provider_that_raises_overrides_nothing() -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("flags are away")

    flags = OpenFeatureFlags(InMemoryProvider({"arm": InMemoryFlag("on", {"on": "canary"}, context_evaluator=fail)}))
    assert (await flagged(flags).ask()).variant == "stable"


async def test_without_a_flag_of_its_own_a_deployment_asks_nobody() -> None:
    class Asked:
        def variant(self, *_: object) -> str | None:
            raise AssertionError("nobody is asked")

    assert (await House(flags=Asked()).ask()).variant == "stable"


def test_a_provider_is_named_by_its_factory() -> None:
    flags = open_flags("tests.edge.test_flags:provider")
    assert flags is not None
    assert flags.variant("arm", "k", {}) == "canary"


def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(rules: Path) -> None:
    flags = open_flags(str(rules))
    assert flags is not None
    assert flags.variant("arm", "k", {"caller": "x"}) is None
    rules.write_text("arm: {default: canary}")
    os.utime(rules, ns=(1, 1))
    flags.refresh()
    assert flags.variant("arm", "k", {}) == "canary"
    rules.write_text("arm: [")
    os.utime(rules, ns=(2, 2))
    flags.refresh()
    assert flags.variant("arm", "k", {}) == "canary"


@pytest.mark.parametrize("said", ["nowhere.yaml", "no-such-module:x", "os:nothing", "os"])
def test_flags_that_cannot_be_had_keep_a_worker_from_starting(said: str) -> None:
    with pytest.raises(SettingsError, match="flags"):
        open_flags(said)

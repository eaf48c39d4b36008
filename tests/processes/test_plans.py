"""Feature plans: compiled once per set of services, and a plan that covers more never keeps a change waiting."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.compose import NoCompiler
from gateway.core.deployments import DeploymentSpec
from gateway.core.errors import PlanImpossible
from gateway.core.features import NO_FEATURES, FeaturePlan
from gateway.core.routing import Part
from gateway.core.state import DeploymentState
from gateway.processes.plans import Plans
from tests.processes.parts import card


class Compiler:
    """Compiles anything and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def compile(self, services: Sequence[str]) -> FeaturePlan:
        self.asked.append(list(services))
        return FeaturePlan("+".join(services), "memory", "", "", "", (), dict.fromkeys(services, ()))


def state(*services: str | None) -> DeploymentState:
    stable, *previous = [Part("stable", f"g{n}", card(str(n), service)) for n, service in enumerate(services)]
    return DeploymentState("churn", 1, DeploymentSpec("churn", "m", "uri"), stable, tuple(previous))


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def plans(compiler: Compiler) -> Plans:
    return Plans(compiler)


def test_a_deployment_without_feature_services_needs_no_compiler(plans: Plans, compiler: Compiler) -> None:
    assert plans.choose(state(None)) == NO_FEATURES
    assert not plans.lacks(state(None))
    assert compiler.asked == []


def test_the_same_services_are_compiled_once(plans: Plans, compiler: Compiler) -> None:
    assert plans.choose(state("a", "b")) is None
    plans.compile(["a", "b"])
    plans.compile(["b", "a"])
    assert compiler.asked == [["a", "b"]]
    chosen = plans.choose(state("b", "a"))
    assert chosen is not None
    assert chosen.plan_id == "a+b"
    assert plans.in_force("churn") == chosen


def test_a_document_that_needs_less_is_served_at_once_by_the_plan_that_covers_it(plans: Plans) -> None:
    plans.compile(["a", "b"])
    chosen = plans.choose(state("a"))
    assert chosen is not None
    assert chosen.plan_id == "a+b"
    assert plans.lacks(state("a"))
    plans.compile(["a"])
    exact = plans.choose(state("a"))
    assert exact is not None
    assert exact.plan_id == "a"


def test_a_plan_found_on_disk_serves_until_a_fresh_one_is_compiled(plans: Plans, compiler: Compiler) -> None:
    found = replace(compiler.compile(["a"]), reason="from disk")
    plans.remember(found)
    assert plans.choose(state("a")) == found


def test_without_a_feature_repository_a_model_that_reads_one_is_refused_in_words() -> None:
    assert NoCompiler().compile([]) == NO_FEATURES
    with pytest.raises(PlanImpossible, match="The model reads flights_v2, but no feature repository is set"):
        NoCompiler().compile(["flights_v2"])

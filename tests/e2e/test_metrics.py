"""Every metric through a real gateway: a candidate that is poor in all respects fails each, one that is alike none.

Guardrails are dry runs here, so that one that fails does not end the rollout for the others; ``alpha`` is small, since
each of thirty may be wrong so often. Three kinds of models are served at once; of each a poor and a like candidate
share traffic, and a poor one watches as a shadow.
"""

import math
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Task, Type
from tests.e2e.guesses import KINDS, WORDS, Guess, Labels, Landing, Leaving, Minutes
from tests.e2e.harness import Gateway, until

INPUTS = (Field("x", Type.NUMBER, example=0.5), Field("visits", Type.NUMBER, example=1.0))
REVENUE = {"metric": "value:revenue", "low": 0.0, "high": 10.0, "higher_is_better": True, "absolute": 0.1}
COST = {"metric": "value:cost", "relative": 1.1}
HEALTH = ("error_rate", "latency", "score_distribution")
METRICS: dict[str, tuple[str, ...]] = {
    "leaving": (
        *("accuracy", "false_positives", "false_negatives", "recall", "false_positive_rate", "precision", "f1"),
        *("auc", "log_loss", "brier", "calibration_error", "recall:leaves", "precision:leaves"),
    ),
    "landing": ("accuracy", "log_loss", "brier", "calibration_error", "recall:late", "precision:late", "f1:late"),
    "minutes": ("mae", "rmse"),
}
PAIRED: dict[str, tuple[str, ...]] = {
    "leaving": ("accuracy", "recall", "auc", "log_loss", "brier"),
    "landing": ("accuracy", "log_loss", "brier", "recall:late"),
    "minutes": ("mae", "rmse"),
}
PLANS = {"share": [{"weight": 0.3, "events": 1_000_000}], "watch": [{"shadow": 1.0, "events": 1_000_000}]}
LONGEST_S = 120.0

pytestmark = pytest.mark.timeout(300)  # half a minute alone; the first test waits for all of it

OWN = [(name, metric) for name, metrics in METRICS.items() for metric in (*HEALTH, *metrics)]
OWN += [("leaving", "value:revenue"), ("leaving", "value:cost")]
ON_PAIRS = [(name, f"paired_{metric}") for name, metrics in PAIRED.items() for metric in metrics]
ON_PAIRS += [("leaving", "disagreement"), ("landing", "disagreement")]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Everything has been served and told until each poor candidate has failed what it can fail."""
    folder = tmp_path_factory.mktemp("gw")
    makers: dict[str, type[Guess]] = {"leaving": Leaving, "landing": Landing, "minutes": Minutes}
    for name, maker in makers.items():
        task = {"leaving": Task.BINARY, "landing": Task.MULTICLASS, "minutes": Task.REGRESSION}[name]
        save(folder / "models", name, "1", maker(), task=task, inputs=INPUTS)
        save(folder / "models", name, "2", maker(poor=True), task=task, inputs=INPUTS)
    save(folder / "models", "leaving", "3", Labels(), task=Task.BINARY, inputs=INPUTS)
    deployments = {
        name: {
            "stable": f"models:/{name}/1",
            "plans": PLANS,
            "maturity": "1s",
            "alpha": 0.0005,
            "default": name == "leaving",
        }
        for name in makers
    }
    gateway = Gateway(folder, {"registry": f"joblib:{folder / 'models'}", "deployments": deployments})
    try:
        gateway.start()
        for name in makers:
            _start_all(gateway, name)
        _live(gateway)
        yield gateway
    finally:
        gateway.close()


def _start_all(gateway: Gateway, name: str) -> None:
    until(lambda: gateway.control.get(f"/admin/deployments/{name}").status_code == 200, 30.0)
    asked: list[Any] = [*HEALTH, *METRICS[name]]
    asked += [REVENUE, COST] if name == "leaving" else []
    for candidate, version in (("alike", "1"), ("poor", "2")):
        start(gateway, name, version, candidate, "share", asked)
    watched = [*PAIRED[name], *(["disagreement"] if name != "minutes" else [])]
    start(gateway, name, "2", "watching", "watch", watched)
    until(lambda: {one["phase"] for one in _candidates(gateway, name)} == {"running"}, 20.0)


def start(gateway: Gateway, name: str, version: str, candidate: str, plan: str, asked: list[Any]) -> None:
    """Judge everything asked for without acting, beside one guardrail that acts on nothing seen here."""
    guardrails = [({"metric": one} if isinstance(one, str) else one) | {"dry_run": True} for one in asked]
    guardrails += [{"metric": "value:never_told", "low": 0.0, "high": 1.0, "absolute": 0.9}]
    body = {"model": f"models:/{name}/{version}", "plan": plan, "name": candidate, "guardrails": guardrails}
    answer = gateway.control.post(f"/admin/deployments/{name}/canary", json=body, timeout=30.0)
    assert answer.status_code == 201, answer.text


def _candidates(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    variants = gateway.control.get(f"/admin/deployments/{name}").json()["variants"]
    return [one for one in variants if one["role"] == "candidate"]


def _live(gateway: Gateway) -> None:
    """Serve and tell until every poor candidate has failed everything, or it takes too long."""
    random, deadline = Random(5), time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        for name in METRICS:
            for _ in range(4):
                _serve(gateway, name, random)
        poor = all(found(gateway, name, "poor", metric)["finding"] == "fail" for name, metric in OWN)
        if poor and all(found(gateway, name, "watching", metric)["finding"] == "fail" for name, metric in ON_PAIRS):
            return


def _serve(gateway: Gateway, name: str, random: Random) -> None:
    """Some are asked for together; latency is judged by those asked for alone."""
    rows = [{"x": _x(name, random), "visits": float(random.randrange(40))} for _ in range(40)]
    together = {"instances": [{"features": row} for row in rows[10:]]}
    answers = [gateway.data.post(f"/predict/{name}", json={"features": row}) for row in rows[:10]]
    answers.append(gateway.data.post(f"/predict/{name}", json=together))
    assert {answer.status_code for answer in answers} == {200}
    said = [*(answer.json() for answer in answers[:10]), *answers[10].json()["predictions"]]
    items = [item for row, one in zip(rows, said, strict=True) for item in _told(name, row["x"], one, random)]
    assert gateway.tell(*items).status_code == 202


def _told(name: str, x: float, said: dict[str, Any], random: Random) -> Iterator[dict[str, Any]]:
    yield {"prediction_id": said["prediction_id"], "outcome": _truth(name, x, random)}
    if name == "leaving":
        poor = said["variant"] == "poor"
        revenue, cost = random.uniform(0.0, 6.0 if poor else 10.0), random.paretovariate(1.5) * (3 if poor else 1)
        yield {"prediction_id": said["prediction_id"], "metric": "revenue", "outcome": revenue}
        yield {"prediction_id": said["prediction_id"], "metric": "cost", "outcome": cost}


def _x(name: str, random: Random) -> float:
    return random.gauss(0.0, 1.5) if name == "leaving" else random.uniform(0.0, 3.0)


def _truth(name: str, x: float, random: Random) -> str | float:
    if name == "leaving":
        return WORDS[random.random() < 1.0 / (1.0 + math.exp(-x))]
    if name == "landing":
        return KINDS[int(x)] if random.random() < 0.9 else random.choice(KINDS)
    return 10.0 * x + random.gauss(0.0, 1.0)


def found(gateway: Gateway, name: str, candidate: str, metric: str) -> dict[str, Any]:
    said = gateway.control.get(f"/admin/deployments/{name}/verdict", params={"candidate": candidate}).json()
    return next(one for one in said["guardrails"] if one["metric"] == metric)


@pytest.mark.parametrize(("name", "metric"), OWN)
def test_a_poor_candidate_fails_every_metric_and_one_that_is_alike_fails_none(
    gateway: Gateway, name: str, metric: str
) -> None:
    poor, alike = found(gateway, name, "poor", metric), found(gateway, name, "alike", metric)
    assert poor["finding"] == "fail", poor["sentence"]
    if metric != "latency":  # on a busy machine the smaller pool may really be the slower one
        assert alike["finding"] != "fail", alike["sentence"]
    assert poor["n_candidate"] > 0
    assert poor["difference"] > 0.0 or metric == "latency"  # turned so that above 0 is worse
    assert poor["low"] <= poor["difference"] <= poor["high"]
    assert poor["sentence"].startswith(f"{metric}: ")


@pytest.mark.parametrize(("name", "metric"), ON_PAIRS)
def test_a_poor_shadow_fails_on_the_requests_that_stable_answered(gateway: Gateway, name: str, metric: str) -> None:
    poor = found(gateway, name, "watching", metric)
    assert poor["finding"] == "fail", poor["sentence"]
    assert poor["difference"] > 0.0


def test_business_values_are_told_in_their_own_unit(gateway: Gateway) -> None:
    poor = found(gateway, "leaving", "poor", "value:revenue")
    assert poor["amount"]
    assert 2.0 < poor["candidate"] < 4.0 < poor["stable"] < 6.0


def test_dry_runs_are_told_and_demote_nobody(gateway: Gateway) -> None:
    assert {one["phase"] for name in METRICS for one in _candidates(gateway, name)} == {"running"}


@pytest.mark.parametrize(
    ("name", "version", "plan", "guardrail", "reason"),
    [
        ("leaving", "3", "share", "brier", "answer labels only"),
        ("leaving", "1", "share", "disagreement", "watch as a shadow"),
        ("landing", "1", "share", "recall:cancelled", "no class 'cancelled'"),
        ("landing", "1", "share", "auc", "fits binary"),
        ("minutes", "1", "share", "accuracy", "fits binary and multiclass"),
        ("minutes", "1", "share", {"metric": "value:revenue", "low": 1.0}, "both ends"),
        ("leaving", "1", "share", {"metric": "precision", "role": "guardrail"}, "a signal only"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(
    gateway: Gateway, name: str, version: str, plan: str, guardrail: Any, reason: str
) -> None:
    body = {"model": f"models:/{name}/{version}", "plan": plan, "name": "another", "guardrails": [guardrail]}
    answer = gateway.control.post(f"/admin/deployments/{name}/canary", json=body, timeout=30.0)
    assert (answer.status_code, answer.json()["type"]) == (422, "unmeasurable")
    assert reason in answer.json()["detail"]

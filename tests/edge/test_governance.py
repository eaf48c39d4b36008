"""Policies are asked before a rollout or a promotion, what they say is in the timeline, and no answer is a no."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.clock import ManualClock
from gateway.adapters.policy import Aside, MemoryGate, OpaServer, RegoFolder, open_policy
from gateway.core.errors import OutboundRefused, PolicyDenied, PolicyPending, SettingsError
from gateway.core.policy import Ruling, population_shift
from gateway.core.rollout import Phase, Signal
from gateway.governance import Governance
from gateway.ports import PolicyGate
from tests.control_house import NAME, House, card

SHIPPED = Path(__file__).parents[2] / "deploy" / "policies"
GOOD = {"2": 0.2, "1": 0.2}


def governed(gate: PolicyGate | None) -> House:
    house = House()
    house.control._governance = Governance(gate, house.state, house.log, house.clock)
    return house.open()


def asks(**changes: Any) -> dict[str, Any]:
    """A question that the shipped policies have nothing against."""
    return {
        "action": "promote",
        "deployment": NAME,
        "candidate": "canary",
        "actor": "judge",
        "requested_by": "ann",
        "at": 0.0,
        "plan": "quick",
        "features": {"names": ["distance"]},
        "data": {"digest": "d", "age_s": 60.0, "requests": 10, "degraded": 0.0},
        "drift": {"score": 0.01},
        "approvals": [{"by": "bob", "at": 0.0, "reason": ""}],
        **changes,
    }


# In the control story.


def test_a_rollout_starts_only_if_the_policy_lets_it_and_the_refusal_is_in_the_timeline() -> None:
    house = governed(MemoryGate(lambda asked: ["not on a Friday"] if asked["action"] == "start" else []))
    with pytest.raises(PolicyDenied, match="not on a Friday"):
        house.start()
    assert house.document.rollouts == {}
    last = house.state.timeline(NAME)[0]
    assert (last.action, last.actor, last.reason) == ("deny", "ann", "not on a Friday")
    assert last.evidence["governance"]["model"]["digest"] == "digest-2"


def test_what_was_granted_says_model_data_approver_and_time() -> None:
    gate = MemoryGate(lambda _: [])
    house = governed(gate)
    house.control.approve(NAME, actor="bob", reason="looked at it", model=card("2"))
    house.start()
    said = next(d for d in house.state.timeline(NAME) if d.action == "start").evidence["governance"]
    assert said["model"]["digest"] == "digest-2"
    assert len(said["data"]["digest"]) == 64
    assert [(one["by"], one["reason"]) for one in said["approvals"]] == [("bob", "looked at it")]
    assert (said["requested_by"], said["policy"]) == ("ann", "memory")
    assert gate.asked[0]["features"]["names"] == ["distance", "sched_dep_hour"]


def test_only_the_last_hour_of_the_log_is_counted_however_long_the_log_is() -> None:
    gate = MemoryGate(lambda _: [])
    house = governed(gate)
    house.serve(50, GOOD)
    house.clock.advance(7_200.0)
    house.serve(30, GOOD)
    house.start()
    assert (gate.asked[0]["data"]["requests"], gate.asked[0]["data"]["degraded"]) == (30, 0.0)


def test_without_a_policy_the_facts_are_in_the_trail_all_the_same() -> None:
    house = governed(None)
    house.start()
    said = next(d for d in house.state.timeline(NAME) if d.action == "start").evidence["governance"]
    assert said["policy"] is None
    assert said["model"]["digest"] == "digest-2"


def test_the_judge_waits_for_the_policy_says_so_once_and_promotes_when_it_agrees() -> None:
    open_ = threading.Event()
    house = governed(MemoryGate(lambda asked: [] if asked["action"] == "start" or open_.is_set() else ["no approval"]))
    house.start()
    house.live(5, GOOD)
    assert house.rollout().phase is Phase.RUNNING
    denied = [d for d in house.state.timeline(NAME) if d.action == "deny"]
    assert [(d.actor, d.reason) for d in denied] == [("judge", "no approval")]
    open_.set()
    [promoted] = house.live(5, GOOD)
    assert promoted.action == "promote"
    assert promoted.evidence["governance"]["requested_by"] == "ann"
    assert "verdict" in promoted.evidence


def test_an_operator_is_held_to_the_policy_too_but_demotion_asks_nobody() -> None:
    house = governed(MemoryGate(lambda asked: ["no"] if asked["action"] == "promote" else []))
    house.start()
    with pytest.raises(PolicyDenied):
        house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="now")
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="now")
    assert house.rollout().phase is Phase.DEMOTED


def test_approval_is_of_bytes_and_by_name() -> None:
    gate = MemoryGate(lambda _: [])
    house = governed(gate)
    house.control.approve(NAME, actor="bob", reason="", model=card("1"))
    house.start()
    house.control.approve(NAME, actor="bob", reason="first")
    house.control.approve(NAME, actor="bob", reason="again")
    house.control.approve(NAME, actor="cy", reason="")
    house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="")
    assert gate.asked[0]["approvals"] == []
    assert [(one["by"], one["reason"]) for one in gate.asked[1]["approvals"]] == [("bob", "again"), ("cy", "")]


def test_a_policy_that_does_not_answer_stops_the_rise_and_nothing_else() -> None:
    def away(_: Any) -> list[str]:
        raise OutboundRefused("away")

    house = governed(MemoryGate(away))
    with pytest.raises(OutboundRefused):
        house.start()
    assert house.document.rollouts == {}
    assert [d.action for d in house.state.timeline(NAME)] == ["found"]


# The policies that ship.


@pytest.fixture(scope="module")
def shipped() -> RegoFolder:
    return RegoFolder(SHIPPED)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"features": {"names": ["gender"]}}, None),
        ({"features": {"names": ["gender"]}, "approvals": []}, "sensitive feature gender"),
        ({"data": {"age_s": 90_000.0, "degraded": 0.0}}, "newest data is 90000 s old"),
        ({"data": {"age_s": None, "degraded": 0.0}}, None),
        ({"data": {"age_s": 1.0, "degraded": 0.2}}, "20 % of the requests had degraded features"),
        ({"drift": {"score": 0.3}}, "drifted by 0.3 (PSI); at most 0.25 is allowed"),
        ({"drift": {"score": None}}, None),
        ({"approvals": []}, "0 of 1 approvals"),
        ({"approvals": [{"by": "ann", "at": 0.0, "reason": ""}]}, "0 of 1 approvals by another person"),
        ({"approvals": [], "action": "start"}, None),
    ],
)
def test_the_shipped_policies_say(shipped: RegoFolder, changes: dict[str, Any], reason: str | None) -> None:
    ruling = shipped.rule(asks(**changes))
    assert ruling.allowed == (reason is None), ruling
    assert reason is None or any(reason in said for said in ruling.reasons)
    assert ruling.by.startswith("rego:")


def test_the_shipped_policies_govern_a_whole_rollout(shipped: RegoFolder) -> None:
    house = governed(shipped)
    house.start()
    house.live(5, GOOD)
    assert [d.reason for d in house.state.timeline(NAME) if d.action == "deny"] == [
        "0 of 1 approvals by another person"
    ]
    house.control.approve(NAME, actor="bob", reason="fine by risk")
    [promoted] = house.live(5, GOOD)
    assert promoted.evidence["governance"]["approvals"][0]["by"] == "bob"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no .rego file"),
        ({"a.rego": "package gateway\n deny contains {"}, "cannot be evaluated"),
        ({"a.rego": "package other\nimport rego.v1\ndeny contains 1 if true"}, "no rule gateway.deny"),
        ({"a.rego": "package gateway\nimport rego.v1\ndeny := true"}, "must be a set of sentences"),
        ({"a.rego": "package gateway\nimport rego.v1\ndeny contains 1 if true"}, "must be a set of sentences"),
        (
            {"a.rego": "package gateway\nimport rego.v1\ndeny contains m if { false; m := 1 }", "d.json": "{"},
            "policies",
        ),
    ],
)
def test_a_folder_that_is_no_policy_keeps_the_agent_from_starting(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=says):
        open_policy(str(tmp_path), ManualClock())


# A server.


@pytest.fixture
def opa() -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """OPA's data API as far as it is used: POST {"input": ...} gives {"result": ...}."""
    asked, says = list[Any](), dict[str, Any]({"status": 200, "body": {"result": []}})

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(says["body"]).encode()
            self.send_response(says["status"])
            self.send_header("Content-Length", str(len(body)))
            if says["status"] == 302:
                self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/data/gateway/deny", asked, says
    server.shutdown()
    server.server_close()


def test_a_server_is_asked_and_believed(opa: tuple[str, list[Any], dict[str, Any]]) -> None:
    url, asked, says = opa
    gate = OpaServer(url)
    assert gate.rule(asks()) == Ruling((), f"opa:{url}")
    assert asked == [{"input": asks()}]
    says["body"] = {"result": ["b", "a"]}
    assert gate.rule(asks()).reasons == ("a", "b")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}),
        (200, {"result": True}),
        (200, {"result": [1]}),
        (200, []),
        (500, {}),
        (302, {}),
        (404, {"result": []}),
    ],
)
def test_an_answer_that_is_none_is_no_permission(
    opa: tuple[str, list[Any], dict[str, Any]], status: int, body: Any
) -> None:
    url, _, says = opa
    says.update(status=status, body=body)
    with pytest.raises(OutboundRefused):
        OpaServer(url).rule(asks())


def test_a_server_is_asked_aside_and_its_answer_is_good_for_ten_seconds(
    opa: tuple[str, list[Any], dict[str, Any]],
) -> None:
    url, asked, says = opa
    clock = ManualClock()
    gate = Aside(OpaServer(url), clock)

    def answered(question: dict[str, Any]) -> Ruling:
        with pytest.raises(PolicyPending) as pending:
            gate.rule(question)
        waiting: Future[Any] = pending.value.answer
        waiting.result(5.0)
        return gate.rule(question)

    assert answered(asks()).allowed
    assert gate.rule(asks(data={"age_s": 61.0})).allowed
    assert len(asked) == 1
    says["body"] = {"result": ["no"]}
    assert not answered(asks(approvals=[])).allowed, "a new approval, or one less, is a new question"
    clock.advance(10.0)
    assert not answered(asks()).allowed


def test_drift_is_a_shift_of_the_answers() -> None:
    steady = [n / 1_000 for n in range(1_000)]
    assert population_shift(steady, steady) == pytest.approx(0.0, abs=1e-9)
    assert (population_shift(steady, [0.9 + v / 10 for v in steady]) or 0.0) > 1.0
    assert population_shift(steady[:199], steady) is None

"""Alerts through apprise, against a real HTTP target: grouped, retried, and harmless when nobody is there."""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.adapters.alerts import AppriseAnnouncer, DecisionSink, MemoryAnnouncer
from gateway.adapters.clock import open_clock
from gateway.adapters.drift import DriftAlerts
from gateway.adapters.guarded import guarded
from gateway.core.alerts import Alert, Kind
from gateway.core.drift.causes import INPUTS, Cause, DriftAlarm, DriftEvent
from gateway.core.errors import SettingsError
from gateway.core.events import Decision
from tests.alert_target import Target

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # apprise looks for it


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


def announcer(*urls: str, counts: Counter[tuple[str, str]] | None = None, **options: Any) -> AppriseAnnouncer:
    def count(kind: Kind, became: str) -> None:
        if counts is not None:
            counts[kind.value, became] += 1

    return AppriseAnnouncer(urls, open_clock("wall"), count=count, wait_s=0.01, **options)


def alert(kind: Kind = Kind.DRIFT, about: str = "dep_delay") -> Alert:
    return Alert(kind, "flights", about, f"{about} has shifted by half a deviation")


def test_a_flood_is_one_message_with_every_sentence_and_the_link(target: Target) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    way = announcer(target.url, counts=counts, link="https://room")
    for about in ("dep_delay", "carrier", "dep_delay"):
        way.announce(alert(about=about))
    way.close()
    [heard] = target.heard
    assert heard["title"] == "flights: 2 alerts"
    assert heard["type"] == "warning"
    assert heard["message"].splitlines()[:2] == [alert(about=about).sentence for about in ("dep_delay", "carrier")]
    assert heard["message"].endswith("https://room/#/d/flights")
    assert counts == {("drift", "sent"): 2, ("drift", "repeated"): 1}


def test_it_is_sent_when_its_time_has_come_not_only_at_the_end(target: Target) -> None:
    way = announcer(target.url, group_s=0.0)
    way.announce(alert(Kind.DEMOTED, "v3"))
    assert target.came.acquire(timeout=5)
    assert target.heard[0]["title"] == "flights: demoted (v3)"
    way.close()


def test_a_target_that_refuses_is_asked_again(target: Target) -> None:
    target.refusals = 2
    counts: Counter[tuple[str, str]] = Counter()
    way = announcer(target.url, counts=counts, group_s=0.0)
    way.announce(alert())
    way.close()
    assert len(target.heard) == 1
    assert counts == {("drift", "sent"): 1}


def test_a_dead_target_costs_a_counter_and_the_others_hear_all_the_same(target: Target) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    way = announcer("json://127.0.0.1:9/", target.url, counts=counts, group_s=0.0)
    way.announce(alert())
    way.close()
    assert len(target.heard) == 1
    assert counts == {("drift", "failed"): 1, ("drift", "sent"): 1}


def test_announcing_never_waits_even_where_everything_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.adapters.alerts.apprise.MOST_WAITING", 2)
    counts: Counter[tuple[str, str]] = Counter()
    slow = Target()
    gate = threading.Event()
    way = announcer(slow.url, counts=counts, group_s=0.0)
    way._deliver = lambda *_: gate.wait(5)  # type: ignore[method-assign]
    for n in range(50):
        way.announce(alert(about=str(n)))
    assert counts["drift", "dropped"] >= 40
    gate.set()
    way.close()
    slow.close()


def test_a_target_on_a_network_that_is_not_called_hears_nothing(target: Target) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    way = announcer(target.url, counts=counts, group_s=0.0, inside=False)
    way.announce(alert())
    way.close()
    assert target.heard == []
    assert counts == {("drift", "failed"): 1}


def test_several_targets_in_one_line_are_all_guarded(target: Target) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    way = announcer(f"{target.url}, {target.url}second", counts=counts, group_s=0.0, inside=False)
    way.announce(alert())
    way.close()
    assert target.heard == []


def test_a_target_that_redirects_is_not_followed(target: Target) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    target.sends_to = "/elsewhere"
    way = announcer(target.url, counts=counts, group_s=0.0)
    way.announce(alert())
    way.close()
    assert target.heard == []
    assert counts == {("drift", "failed"): 1}


def test_other_threads_call_whom_they_like(target: Target) -> None:
    with guarded(inside=False):
        elsewhere = threading.Thread(
            target=httpx.post, args=(target.url.replace("json:", "http:"),), kwargs={"json": {}}
        )
        elsewhere.start()
        elsewhere.join()
        with pytest.raises(httpx.ConnectError):
            httpx.post(target.url.replace("json:", "http:"), json={})
    assert target.heard == [{}]


def test_kinds_nobody_wants_are_not_told(target: Target) -> None:
    way = announcer(target.url, kinds=(Kind.DEMOTED,))
    way.announce(alert())
    way.close()
    assert target.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops",
        "pagerduty://integration_key@routing_key",
        "mailto://me:secret@example.com",
        "jsons://hooks.example.com/gateway",
    ],
)
def test_the_targets_of_the_field_are_known(url: str) -> None:
    announcer(url).close()


@pytest.mark.parametrize("url", ["nosuch://secret-token", "slack://", "secret"])
def test_a_target_that_apprise_does_not_know_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(SettingsError, match=r"number 1 \(") as refused:
        announcer(url)
    assert "secret" not in str(refused.value)


def test_decisions_reach_people_as_alerts() -> None:
    way = MemoryAnnouncer()
    sink = DecisionSink(way)
    for action in ("start", "demote"):
        sink.tell(Decision("flights", 2, action, "judge", "because", 0.0, 0.0, candidate="v3"))
    assert [one.kind for one in way.alerts] == [Kind.DEMOTED]


def test_a_silent_label_source_and_skew_are_announced_as_what_they_are() -> None:
    told = MemoryAnnouncer()
    sink = DecisionSink(told)
    silence = "no outcome came for 26 hours, in which 12,400 predictions were made"
    sink.tell(Decision("flights", 4, "labels_stopped", "drift", silence, 0.0, 0.0))
    skew = "dep_delay: 12.0% of 100 served values are not what the offline store says they were"
    sink.tell(Decision("flights", 5, "skew", "drift", skew, 0.0, 0.0, evidence={"feature": "dep_delay"}))
    assert [(one.kind, one.about, one.sentence) for one in told.alerts] == [
        (Kind.LABELS_STOPPED, "labels", silence),
        (Kind.DATA_QUALITY, "dep_delay", skew),
    ]


def test_values_that_are_lost_are_told_as_the_datas_quality_and_others_as_drift() -> None:
    told = MemoryAnnouncer()
    for what in ("stale", "location"):
        alarm = DriftAlarm(
            "flights", INPUTS, "stable", "dep_delay", what, 1, 0.2, 0.0, 1.0, 0.0, 9.0, 100, 9.0, 8.0, what
        )
        DriftAlerts(told).drifted(DriftEvent(alarm, Cause.DATA))
    assert [one.kind for one in told.alerts] == [Kind.DATA_QUALITY, Kind.DRIFT]

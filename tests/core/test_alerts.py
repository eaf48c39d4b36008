"""Alerts: which decisions wake people, what is told together, and what is not told again."""

import pytest

from gateway.core.alerts import SEVERITY, Alert, Inbox, Kind, Message, Severity, alert_of
from gateway.core.events import Decision


def alert(kind: Kind = Kind.DRIFT, deployment: str = "flights", about: str = "dep_delay") -> Alert:
    return Alert(kind, deployment, about, f"{about}: {kind}")


def test_what_comes_soon_after_goes_out_with_it() -> None:
    inbox = Inbox(group_s=5.0, quiet_s=60.0)
    inbox.put(alert(), 0.0)
    inbox.put(alert(about="carrier"), 4.9)
    assert inbox.take(4.9) == []
    assert inbox.next_due() == 5.0
    [message] = inbox.take(5.0)
    assert [one.about for one in message.alerts] == ["dep_delay", "carrier"]
    assert inbox.next_due() is None


def test_deployments_are_told_apart() -> None:
    inbox = Inbox(group_s=5.0, quiet_s=60.0)
    inbox.put(alert(), 0.0)
    inbox.put(alert(deployment="churn"), 1.0)
    assert [message.deployment for message in inbox.take(5.0)] == ["flights"]
    assert [message.deployment for message in inbox.take(6.0)] == ["churn"]


def test_the_same_again_is_counted_and_said_with_the_next_message() -> None:
    inbox = Inbox(group_s=0.0, quiet_s=60.0)
    assert inbox.put(alert(), 0.0)
    inbox.take(0.0)
    assert not inbox.put(alert(), 59.0)
    assert inbox.take(59.0) == []
    inbox.put(alert(about="carrier"), 59.5)
    [message] = inbox.take(59.5)
    assert (message.repeated, "1 more of the same" in message.body("")) == (1, True)


def test_after_the_quiet_time_it_is_told_again() -> None:
    inbox = Inbox(group_s=0.0, quiet_s=60.0)
    inbox.put(alert(), 0.0)
    inbox.take(0.0)
    assert inbox.put(alert(), 60.0)


def test_at_the_end_everything_goes_out() -> None:
    inbox = Inbox(group_s=100.0, quiet_s=60.0)
    inbox.put(alert(), 0.0)
    assert len(inbox.take_all()) == 1
    assert inbox.take_all() == []


def test_a_message_is_as_grave_as_its_gravest_alert_and_carries_the_link() -> None:
    message = Message("flights", (alert(Kind.PROMOTED), alert(Kind.DEMOTED), alert(Kind.DRIFT)), 0)
    assert message.severity is Severity.FAILURE
    assert message.body("https://room").endswith("\nhttps://room/#/d/flights")


def test_every_kind_has_its_severity() -> None:
    assert set(SEVERITY) == set(Kind)


@pytest.mark.parametrize(
    ("action", "kind"),
    [("demote", Kind.DEMOTED), ("promote", Kind.PROMOTED), ("pause", Kind.PAUSED), ("rollback", Kind.ROLLED_BACK)],
)
def test_decisions_that_move_users_are_alerts(action: str, kind: Kind) -> None:
    made = alert_of(Decision("flights", 2, action, "judge", "because", 0.0, 0.0, candidate="v2"))
    assert made is not None
    assert (made.kind, made.about) == (kind, "v2")
    assert made.sentence.endswith("by judge: because")


@pytest.mark.parametrize("action", ["start", "advance", "resume", "traffic", "hold"])
def test_other_decisions_wake_nobody(action: str) -> None:
    assert alert_of(Decision("flights", 2, action, "judge", "because", 0.0, 0.0)) is None

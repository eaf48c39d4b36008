"""A shadow on trial in a real browser: what pairs show of it, its promotion on that, and the watch that follows.

The tests of this file tell one story in order: each goes on where the one before it stopped.
"""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.harness import DEPLOYMENT, Gateway, until, with_better_ones
from tests.room.conftest import Desk
from tests.room.test_room_live import HERE, WAIT_MS, get, serve

PLANS = {
    "half": [{"weight": 0.5, "events": 1_000_000}],
    "watched": {"steps": [{"weight": 0.5, "events": 1_000_000}], "watch": "1d"},
}
GUARDRAILS = [{"metric": "error_rate", "margin_absolute": 0.2}, {"metric": "accuracy", "margin_absolute": 0.02}]
expect.set_options(timeout=WAIT_MS)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def gateway(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Stable is always wrong, and version 2 is right."""
    said = {"plans": PLANS, "guardrails": GUARDRAILS, "maturity": "3s"}
    gateway = with_better_ones(tmp_path_factory.mktemp("gw"), said, "2")
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def room(desk: Desk, gateway: Gateway) -> Iterator[Desk]:
    """The page, which must not have said an error by the end of a test."""
    desk.open(f"{gateway.control.base_url}/#/d/{DEPLOYMENT}")
    yield desk
    assert [one for one in desk.said if "404" not in one and "412" not in one] == []


def trial(gateway: Gateway) -> dict[str, Any]:
    return get(gateway, f"{HERE}/verdict?candidate=right")


def shown(room: Desk) -> Locator:
    return room.page.locator("#shadows [data-shadow=right]")


def test_a_shadow_that_has_just_come_is_shown_and_cannot_be_promoted_yet(gateway: Gateway, room: Desk) -> None:
    expect(room.page.locator("h1")).to_have_text(DEPLOYMENT)
    expect(room.page.locator("#shadows")).to_have_count(0)
    body = {"model": f"models:/{DEPLOYMENT}/2", "name": "right", "rate": 1.0}
    assert gateway.control.post(f"{HERE}/shadows", json=body).status_code == 201
    expect(shown(room)).to_contain_text("watches 100 %")
    expect(shown(room).locator(".finding").first).to_have_text("inconclusive")
    expect(shown(room)).to_contain_text("once every guardrail that counts has passed on pairs")
    expect(shown(room).get_by_role("button", name="Promote")).to_be_disabled()
    card = room.page.locator(f"[data-deployment={DEPLOYMENT}] .standing")
    expect(card).to_have_text("stable v1 · right v2 watches")


def test_its_pairs_estimates_evidence_and_sentence_are_the_verdicts(gateway: Gateway, room: Desk) -> None:
    until(lambda: ready(gateway), 20.0)
    serve(gateway, 6, seed=3)
    until(lambda: trial(gateway)["guardrails"][0]["n_candidate"] == 240, 30.0)
    said = trial(gateway)
    assert said["finding"] == "pass"
    [one] = said["guardrails"]
    assert (one["metric"], one["n_stable"], one["n_candidate"]) == ("paired_accuracy", 240, 240)
    expect(shown(room).locator(".finding").first).to_have_text("pass")
    expect(shown(room).locator(".lead")).to_have_text(said["sentence"])
    found = shown(room).locator("[data-metric=paired_accuracy]")
    expect(found).to_contain_text(one["sentence"])
    for arm, named in (("stable", "stable"), ("candidate", "right")):
        cell = found.locator(f"[data-arm={arm}]")
        expect(cell.locator("dt")).to_contain_text(named)
        expect(cell.locator(".estimate")).to_have_text(room.words("percent", one[arm]))
        expect(cell.locator(".n")).to_have_text(f"{one[f'bad_{arm}']:,} of {one[f'n_{arm}']:,} pairs")
    told, enough = (room.words("evidence", one[each]) for each in ("promote_evidence", "promote_threshold"))
    line = found.locator("[data-evidence=safety]")
    expect(line.locator(".evidence-value")).to_have_text(f"{told} of {enough} passes")
    way = min(1.0, math.log(one["promote_evidence"]) / math.log(one["promote_threshold"]))
    assert float(line.locator("[role=meter]").get_attribute("aria-valuenow") or "") == pytest.approx(way, abs=0.001)
    points = get(gateway, f"{HERE}/course?candidate=right")["points"]
    drawn = [each for point in points for each in point["metrics"] if each["n_candidate"]]
    room.page.wait_for_selector("#chart-right-paired_accuracy .u-over")
    assert room.plotted("chart-right-paired_accuracy")[6][: len(drawn)] == [each["candidate"] for each in drawn]


def ready(gateway: Gateway) -> bool:
    """Whether the workers score with the shadow: what one of them has dropped is no pair."""
    gateway.predict()
    found = get(gateway, "/admin/ledger?settle_s=2")["shadows"]
    return bool(found["done"]) and found["pending"] == 0


def test_it_is_promoted_for_the_revision_that_was_seen_with_a_reason_and_by_a_chosen_plan(
    gateway: Gateway, room: Desk
) -> None:
    page = room.page
    shown(room).get_by_role("button", name="Promote").click()
    confirm = page.locator("#confirm-shadow")
    send = confirm.get_by_role("button", name="Promote", exact=True)
    expect(send).to_be_disabled()
    expect(confirm).to_contain_text("shown to be")
    confirm.get_by_label("stable, at once").check()
    confirm.locator("select[name=plan]").select_option("watched")
    confirm.locator("textarea").fill("240 pairs are enough")
    gateway.control.post(f"{HERE}/approve", json={"model": f"models:/{DEPLOYMENT}/2", "reason": "I agree"})
    before = gateway.deployment()["revision"]
    expect(confirm.locator("[role=alert]")).to_contain_text("I agree")
    send.click()
    expect(confirm).to_contain_text("Somebody was faster")
    assert gateway.deployment()["revision"] == before
    confirm.get_by_role("button", name="I have seen it").click()
    send.click()
    expect(confirm).to_have_count(0)
    [newest, *_] = get(gateway, f"{HERE}/timeline")["decisions"]
    assert (newest["action"], newest["actor"], newest["reason"]) == ("promote", "local", "240 pairs are enough")
    assert newest["evidence"]["n_pairs"] == 240
    assert gateway.variant("stable")["model_version"] == "2"  # type: ignore[index]


def test_after_its_promotion_the_watch_is_told_and_no_share_of_nothing(gateway: Gateway, room: Desk) -> None:
    page = room.page
    expect(page.locator(f"[data-deployment={DEPLOYMENT}] .standing")).to_have_text(
        "stable v2 · under watch · former v1 watches"
    )
    expect(page.locator("#rollout .phase").first).to_have_text("watched")
    expect(page.locator("#until")).to_contain_text("It answers everything; the stable before it scores")
    serve(gateway, 2, seed=4)
    found = page.locator("#guardrails [data-metric=paired_accuracy]")
    expect(found.locator("[data-arm=stable] dt")).to_contain_text("former v1")
    expect(found.locator("[data-arm=candidate] dt")).to_contain_text("stable v2")
    former = page.locator("#shadows [data-shadow=former]")
    expect(former).to_contain_text("the watch of v2 compares with it")
    expect(former.get_by_role("button")).to_have_count(0)


def test_where_labels_may_follow_from_answers_the_page_says_that_pairs_promote_nobody(
    browser: Browser, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = {"plans": PLANS, "guardrails": GUARDRAILS, "labels_independent": False}
    bound = with_better_ones(tmp_path_factory.mktemp("bound"), said, "2")
    try:
        bound.start()
        body = {"model": f"models:/{DEPLOYMENT}/2", "name": "right"}
        assert bound.control.post(f"{HERE}/shadows", json=body).status_code == 201
        until(lambda: ready(bound), 20.0)
        serve(bound, 6, seed=5)
        desk.open(f"{bound.control.base_url}/#/d/{DEPLOYMENT}")
        expect(shown(desk).locator(".finding").first).to_have_text("pass", timeout=30_000)
        expect(shown(desk)).to_contain_text("labels_independent is not declared")
        expect(shown(desk).get_by_role("button", name="Promote")).to_be_disabled()
        assert bound.control.post(f"{HERE}/shadows/right/promote").status_code == 409
    finally:
        bound.close()

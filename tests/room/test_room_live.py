"""The control room in a real browser, every panel against the API's numbers while a real gateway lives a rollout.

The tests of this file tell one story in order: each goes on where the one before it stopped.
"""

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until
from tests.e2e.test_rollouts import start
from tests.room.conftest import Desk

HERE = f"/admin/deployments/{DEPLOYMENT}"
PLANS = {
    "three steps": [{"shadow": 1.0, "events": 40}, {"weight": 0.3, "events": 1_000_000}, {"weight": 0.5}],
    "half": [{"weight": 0.5, "events": 1_000_000}],
}
GUARDRAILS = [
    {"metric": "error_rate", "margin_absolute": 0.2},
    {"metric": "accuracy", "margin_absolute": 0.0001, "absolute": 0.2},
]
WAIT_MS = 20_000
DASH = "\u2013"
expect.set_options(timeout=WAIT_MS)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def gateway(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It needs no start where there is no browser."""
    folder = tmp_path_factory.mktemp("gw")
    for version in ("1", "2"):
        train(folder / "models", version)
    train(folder / "models", "3", right=False)
    other = {"stable": f"models:/{DEPLOYMENT}/2", "guardrails": ["error_rate"]}
    config = simple_config(folder, deployment={"plans": PLANS, "guardrails": GUARDRAILS, "default": True})
    config["deployments"]["winback"] = other
    gateway = Gateway(folder, config)
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def room(desk: Desk, gateway: Gateway) -> Iterator[Desk]:
    """The page, which must not have said an error nor have asked anybody else by the end of a test."""
    desk.open(f"{gateway.control.base_url}/#/d/{DEPLOYMENT}")
    yield desk
    assert [one for one in desk.said if "404" not in one and "412" not in one and "ERR_" not in one] == []
    assert {urlsplit(url).netloc for url in desk.asked} == {urlsplit(str(gateway.control.base_url)).netloc}


def get(gateway: Gateway, path: str) -> dict[str, Any]:
    answer = gateway.control.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def live(gateway: Gateway, random: Random) -> None:
    """Forty customers ask, each for itself (a batch has no latency of its own), and what became of them is told."""
    told = []
    for _ in range(40):
        age = random.uniform(0.0, 60.0)
        said = gateway.predict(age=age, visits=float(random.randrange(10)))
        told.append({"prediction_id": said["prediction_id"], "outcome": int(age > 30.0)})
    assert gateway.tell(*told).status_code == 202


def serve(gateway: Gateway, rounds: int, seed: int) -> None:
    """Live a while, and wait until everything is in the store."""
    random = Random(seed)
    for _ in range(rounds):
        live(gateway, random)
    gateway.ledger()


def phase(gateway: Gateway) -> str | None:
    found: str | None = (gateway.variant("canary") or {}).get("phase")
    return found


def judged(gateway: Gateway) -> dict[str, Any]:
    """The verdict once the judge has seen everything that was served."""
    stored = get(gateway, "/admin/ledger")["predictions"]["stored"]

    def look() -> dict[str, Any] | None:
        said = get(gateway, f"{HERE}/verdict")
        ratio = next(one for one in said["guardrails"] if one["metric"] == "error_rate")
        before = getattr(look, "before", None)
        look.before = (ratio["n_stable"], ratio["n_candidate"])  # type: ignore[attr-defined]
        return said if before == look.before and stored else None  # type: ignore[attr-defined]

    return until(look, 20.0, every_s=1.2)


def test_before_a_rollout_the_page_says_so_and_shows_what_flows(gateway: Gateway, room: Desk) -> None:
    page = room.page
    expect(page.locator("#rollout .lead")).to_contain_text("No candidate")
    expect(page.locator("nav.overview [data-deployment]")).to_have_count(2)
    serve(gateway, 5, seed=1)
    expect(page.locator("#variants tr[data-variant=stable] [data-cell=predictions]")).to_have_text("200")
    expect(page.locator("#live")).to_have_text("live")


def test_a_rollout_appears_without_a_reload_and_stands_on_its_step(gateway: Gateway, room: Desk) -> None:
    page = room.page
    expect(page.locator("#rollout .lead")).to_be_visible()
    page.evaluate("window.opened = 'once'")
    start(gateway, "2", "three steps")
    until(lambda: phase(gateway) == "running", 20.0)
    serve(gateway, 4, seed=2)
    until(lambda: (gateway.variant("canary") or {})["step"]["number"] == 2, 20.0)
    serve(gateway, 3, seed=3)
    said = judged(gateway)
    variant = gateway.variant("canary") or {}
    expect(page.locator("#track li")).to_have_count(len(variant["plan"]["steps"]) + 1)
    now = page.locator("#track li[aria-current=step]")
    expect(now).to_contain_text(f"{variant['step']['seen']:,} of {variant['step']['events']:,}")
    names = page.locator("#track .stop-name").all_text_contents()
    assert names == ["shadow 100 %", "30 %", "50 %", "stable"]
    assert page.locator("#track li").nth(variant["step"]["number"] - 1).get_attribute("aria-current") == "step"
    expect(page.locator("#sentence")).to_contain_text(_found(said["sentence"]))
    expect(page.locator("#finding")).to_have_text(said["finding"])
    assert page.evaluate("window.opened") == "once"


def test_the_split_in_force_is_the_overviews_bar(gateway: Gateway, room: Desk) -> None:
    weights = {one["name"]: one["weight"] for one in gateway.deployment()["variants"] if one["weight"]}
    bar = room.page.locator(f"[data-deployment={DEPLOYMENT}] .split")
    expect(bar).to_have_attribute("aria-label", "Traffic: stable 70.0 %, canary 30.0 %")
    grown = bar.locator("i").evaluate_all("parts => parts.map(one => Number(getComputedStyle(one).flexGrow))")
    assert grown == pytest.approx([weights["stable"], weights["canary"]], abs=0.01)


def test_every_guardrail_shows_estimates_intervals_counts_and_evidence_of_the_verdict(
    gateway: Gateway, room: Desk
) -> None:
    said = judged(gateway)
    for one in said["guardrails"]:
        shown = room.page.locator(f"[data-metric={one['metric']}]")
        expect(shown).to_contain_text(_found(one["sentence"]))
        if one["role"] == "signal":
            continue
        for arm in ("stable", "candidate"):
            cell = shown.locator(f"[data-arm={arm}]")
            low, high = (room.words("percent", one[f"{arm}_{end}"]) for end in ("low", "high"))
            expect(cell.locator(".estimate")).to_have_text(room.words("percent", one[arm]))
            expect(cell.locator(".interval")).to_have_text(f"{low} {DASH} {high}")
            pairs = " pairs" if one["metric"].startswith("paired_") else ""
            expect(cell.locator(".n")).to_have_text(f"{one[f'bad_{arm}']:,} of {one[f'n_{arm}']:,}{pairs}")
        _evidence(room, shown, "harm", one["evidence_now"], one["threshold"], "demotes")
        _evidence(room, shown, "safety", one["promote_evidence"], one["promote_threshold"], "passes")


def _found(sentence: str) -> str:
    """What a sentence says was found; what follows about the pace moves on with the clock."""
    return sentence.partition("; at this pace")[0]


def _evidence(room: Desk, shown: Any, name: str, value: float, threshold: float, says: str) -> None:
    line = shown.locator(f"[data-evidence={name}]")
    told, enough = (room.words("evidence", each) for each in (value, threshold))
    expect(line.locator(".evidence-value")).to_have_text(f"{told} of {enough} {says}")
    way = min(1.0, math.log(value) / math.log(threshold)) if value > 1.0 else 0.0
    assert float(line.locator("[role=meter]").get_attribute("aria-valuenow")) == pytest.approx(way, abs=0.001)


def test_intervals_are_drawn_as_the_course_has_them_and_narrow(gateway: Gateway, room: Desk) -> None:
    for seed in (4, 5):
        serve(gateway, 4, seed)
        judged(gateway)
    points = get(gateway, f"{HERE}/course")["points"]
    room.page.wait_for_selector("#chart-accuracy .u-over")
    at, high_s, low_s, stable, high_c, low_c, candidate = room.plotted("chart-accuracy")
    drawn = [
        {**one, "at": point["at"]}
        for point in points
        for one in point["metrics"]
        if one["metric"] == "accuracy" and one["n_stable"] + one["n_candidate"] > 0
    ]
    assert at[: len(drawn)] == [one["at"] for one in drawn]
    assert len(at) <= len(drawn) + 1  # and where it stands now
    for column, name in (
        (stable, "stable"),
        (high_s, "stable_high"),
        (low_s, "stable_low"),
        (candidate, "candidate"),
        (high_c, "candidate_high"),
        (low_c, "candidate_low"),
    ):
        assert column[: len(drawn)] == [one[name] for one in drawn]
    for high, low in ((high_s, low_s), (high_c, low_c)):
        widths = [a - b for a, b in zip(high, low, strict=True) if a is not None and b is not None]
        assert widths[-1] < widths[0]


def test_when_it_decides_is_said_where_the_judge_can_say_it(gateway: Gateway, room: Desk) -> None:
    judged(gateway)
    shown = room.page.locator("#until")

    def agrees() -> bool:
        """The reckoning moves on with the clock, so both are read at once."""
        still, text = get(gateway, f"{HERE}/verdict")["still_needed"], shown.text_content() or ""
        if still is None:
            return "cannot be said yet" in text
        told = room.words("lasting", still["seconds"])
        more = f"({still['observations']:,} more observations, towards {still['towards']})"
        return f"Decides in about {told} {more}" in text

    until(agrees, 20.0)


def test_what_flows_how_fast_and_how_right_is_the_pulse_of_the_deployment(gateway: Gateway, room: Desk) -> None:
    page = room.page
    page.get_by_role("button", name="1 h", exact=True).click()
    spans = get(gateway, f"{HERE}/pulse?hours=1&spans=60")["spans"]
    rows = {
        name: [line for span in spans for line in span["variants"] if line["variant"] == name]
        for name in ("stable", "canary")
    }
    for name, lines in rows.items():
        n, labelled = (sum(line[member] for line in lines) for member in ("predictions", "labelled"))
        right = sum((line["accuracy"] or 0.0) * line["labelled"] for line in lines)
        last = lines[-1]
        row = page.locator(f"#variants tr[data-variant={name}]")
        expect(row.locator("[data-cell=predictions]")).to_have_text(f"{n:,}")
        expect(row.locator("[data-cell=accuracy]")).to_have_text(room.words("percent", right / labelled))
        expect(row.locator("[data-cell=coverage]")).to_have_text(room.words("percent", labelled / n))
        expect(row.locator("[data-cell=failed]")).to_have_text("0 %")
        latency, delay = last["latency_s"], last["label_delay_s"]
        told = " / ".join(room.words("lasting", latency[each]) for each in ("p50", "p95", "p99"))
        expect(row.locator("[data-cell=latency]")).to_have_text(told)
        told = " / ".join(room.words("lasting", delay[each]) for each in ("p50", "p95"))
        expect(row.locator("[data-cell=delay]")).to_have_text(told)
    at, everything, stable = room.plotted("live-traffic")
    by_time = {span["after"]: {line["variant"]: line["predictions"] for line in span["variants"]} for span in spans}
    assert stable == [by_time[each].get("stable", 0) for each in at if each is not None]
    assert everything == [sum(by_time[each].values()) for each in at if each is not None]
    found = {span["after"]: {line["variant"]: line for line in span["variants"]} for span in spans}
    picks: dict[str, Callable[[dict[str, Any]], float]] = {
        "accuracy": lambda one: float(one["accuracy"]),
        "latency": lambda one: float(one["latency_s"]["p50"]),
        "coverage": lambda one: one["labelled"] / one["predictions"],
    }
    for chart, pick in picks.items():
        lines = [found[each].get("stable") for each in at if each is not None]
        assert room.plotted(f"live-{chart}")[1] == [None if line is None else pick(line) for line in lines]


def test_drift_is_said_to_have_no_reference_where_there_is_none(gateway: Gateway, room: Desk) -> None:
    expect(room.page.locator("#drift")).to_contain_text("No reference profile")


def test_the_timeline_shows_every_decision_with_who_and_why(gateway: Gateway, room: Desk) -> None:
    decisions = get(gateway, f"{HERE}/timeline")["decisions"]
    rows = room.page.locator("#timeline li")
    expect(rows).to_have_count(len(decisions))
    for number, one in enumerate(decisions):
        expect(rows.nth(number)).to_contain_text(one["action"])
        expect(rows.nth(number)).to_contain_text(f"by {one['actor']}")
        expect(rows.nth(number)).to_contain_text(one["reason"])
        expect(rows.nth(number)).to_contain_text(f"revision {one['revision']}")


def test_the_books_are_the_ledgers(gateway: Gateway, room: Desk) -> None:
    books = gateway.ledger()
    said = (
        f"{books['predictions']['received']:,} predictions received, {books['predictions']['stored']:,} stored · "
        f"{books['outcomes']['accepted']:,} outcomes accepted, {books['outcomes']['joined']:,} joined · 0 in the spool"
    )
    expect(room.page.locator("#books")).to_have_text(said)


def test_a_prediction_is_opened_by_its_id_from_the_keyboard(gateway: Gateway, room: Desk) -> None:
    made = gateway.predict(age=55.0, visits=2.0)
    gateway.tell({"prediction_id": made["prediction_id"], "outcome": 1, "source": "crm"})
    gateway.ledger()
    page = room.page
    page.locator("#main").focus()
    page.keyboard.press("/")
    page.keyboard.type(made["prediction_id"])
    page.keyboard.press("Enter")
    shown, stored = page.locator("#prediction"), get(gateway, f"/admin/predictions/{made['prediction_id']}")
    expect(shown.locator("[data-fact=prediction]")).to_have_text(room.words("scalar", stored["prediction"]))
    expect(shown).to_contain_text(f"score {room.words('quantity', stored['score'])}")
    expect(shown).to_contain_text(f"{stored['served']} with 200")
    expect(shown).to_contain_text("says crm")
    for name, one in stored["features"].items():
        expect(shown.locator(f"[data-feature={name}]")).to_contain_text(room.words("scalar", one["value"]))
    for arm in stored["arms"]:
        expect(shown).to_contain_text(f"{arm['name']} {room.words('percent', arm['propensity'])}")
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    assert page.evaluate("location.hash") == f"#/d/{DEPLOYMENT}"


def test_an_id_that_was_never_issued_is_said_to_be_none(room: Desk) -> None:
    room.page.locator("#find").fill("k1.nonsense")
    room.page.keyboard.press("Enter")
    expect(room.page.locator("#prediction")).to_contain_text("Never issued here")


def test_a_signal_wants_a_reason_and_lands_in_the_timeline(gateway: Gateway, room: Desk) -> None:
    page = room.page
    page.locator("#do-pause").click()
    confirm = page.locator("#confirm-pause")
    send = confirm.get_by_role("button", name="Pause", exact=True)
    expect(send).to_be_disabled()
    confirm.locator("textarea").fill("lunch")
    send.click()
    expect(confirm).to_have_count(0)
    expect(page.locator("#rollout .phase").first).to_have_text("paused")
    [newest, *_] = get(gateway, f"{HERE}/timeline")["decisions"]
    assert (newest["action"], newest["actor"], newest["reason"]) == ("pause", "local", "lunch")
    expect(page.locator("#timeline li").first).to_contain_text("lunch")
    expect(page.locator("#revision")).to_have_text(str(newest["revision"]))


def test_a_signal_for_a_state_that_has_moved_on_changes_nothing_until_it_was_seen(gateway: Gateway, room: Desk) -> None:
    page = room.page
    page.locator("#do-demote").click()
    confirm = page.locator("#confirm-demote")
    confirm.locator("textarea").fill("looks bad")
    gateway.control.post(f"{HERE}/resume", json={"reason": "back from lunch"})
    before = gateway.deployment()["revision"]
    confirm.get_by_role("button", name="Demote", exact=True).click()
    expect(confirm.locator("[role=alert]").first).to_contain_text("back from lunch")
    assert (phase(gateway), gateway.deployment()["revision"]) == ("running", before)
    confirm.get_by_role("button", name="I have seen it").click()
    expect(confirm).to_contain_text(f"made for revision {before}")
    page.keyboard.press("Escape")
    expect(confirm).to_have_count(0)
    assert phase(gateway) == "running"


def test_traffic_is_set_as_a_whole_with_what_is_left_for_stable(gateway: Gateway, room: Desk) -> None:
    page = room.page
    page.locator("#do-traffic").click()
    confirm = page.locator("#confirm-traffic")
    confirm.locator("input[name=share-canary]").fill("12.5")
    expect(confirm.locator("#rest")).to_have_text("87.5 %")
    confirm.locator("textarea").fill("less of it")
    confirm.get_by_role("button", name="Set traffic", exact=True).click()
    expect(confirm).to_have_count(0)
    until(lambda: (gateway.variant("canary") or {})["weight"] == 0.125)
    [newest, *_] = get(gateway, f"{HERE}/timeline")["decisions"]
    assert (newest["action"], newest["reason"]) == ("traffic", "less of it")
    bar = page.locator(f"[data-deployment={DEPLOYMENT}] .split")
    expect(bar).to_have_attribute("aria-label", "Traffic: stable 87.5 %, canary 12.5 %")


def test_a_promotion_and_a_return_from_it_are_two_confirmed_words(gateway: Gateway, room: Desk) -> None:
    page = room.page
    for name, title in (("promote", "Promote"), ("rollback", "Roll back")):
        page.locator(f"#do-{name}").click()
        confirm = page.locator(f"#confirm-{name}")
        confirm.locator("textarea").fill(f"{name}, said the operator")
        confirm.get_by_role("button", name=title, exact=True).click()
        expect(confirm).to_have_count(0)
        expect(page.locator("#timeline li").first).to_contain_text(f"{name}, said the operator")
    assert next(one for one in gateway.deployment()["variants"] if one["role"] == "stable")["model_version"] == "1"


def test_a_wrong_candidate_is_seen_to_fall(gateway: Gateway, room: Desk) -> None:
    page = room.page
    start(gateway, "3", "half")
    until(lambda: phase(gateway) == "running", 20.0)
    random = Random(9)

    def fallen() -> bool:
        live(gateway, random)
        return phase(gateway) == "demoted"

    until(fallen, 40.0)
    expect(page.locator("#rollout .phase").first).to_have_text("demoted")
    [newest, *_] = get(gateway, f"{HERE}/timeline")["decisions"]
    expect(page.locator("#sentence")).to_have_text(newest["reason"])
    expect(page.locator("#until")).to_contain_text("demoted by judge")
    expect(page.locator("#track li.fell")).to_contain_text("50 %")
    expect(page.locator("#timeline li").first).to_contain_text("by judge")
    expect(page.locator("[data-metric=accuracy] .finding")).to_have_text("fail")


def test_key_figures_are_those_of_the_timeline(gateway: Gateway, room: Desk) -> None:
    page = room.page
    told = get(gateway, f"{HERE}/kpis")
    assert told["recoveries"] == 2
    expect(page.locator("#kpi-per-week")).to_have_text(f"{told['per_week']:.1f}")
    expect(page.locator("#kpi-recovery")).to_have_text(room.words("lasting", told["recovery_machine_s"]))
    age = page.locator("#kpi-age").text_content()
    assert age in {room.words("lasting", told["model_age_s"] + late) for late in range(-15, 16)}
    assert page.locator(".weeks .up").count() == len(told["weeks"])


# However it is looked at


@pytest.mark.parametrize("desk", [{"viewport": {"width": 375, "height": 740}}], indirect=True)
def test_on_a_phone_nothing_is_wider_than_the_screen(room: Desk) -> None:
    expect(room.page.locator("#kpi-per-week")).to_be_visible()
    assert room.page.evaluate("document.documentElement.scrollWidth") <= 375
    room.page.locator("#do-traffic").click()
    assert room.page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize("desk", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True)
def test_the_page_follows_the_machines_theme_and_turns_at_a_key(room: Desk) -> None:
    page = room.page
    expect(page.locator("#kpi-per-week")).to_be_visible()
    brightness = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (page.evaluate(brightness) < 60) is dark
    page.locator("#main").focus()
    page.keyboard.press("t")
    page.wait_for_function(f"({brightness} < 60) === {'false' if dark else 'true'}")
    page.reload()
    assert (page.evaluate(brightness) < 60) is not dark


def test_deployments_are_walked_through_by_keys(room: Desk) -> None:
    page = room.page
    expect(page.locator("h1")).to_have_text(DEPLOYMENT)
    page.locator("#main").focus()
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("winback")
    expect(page.locator("#traffic")).to_contain_text("No request in this time")
    expect(page.locator("#rollout")).to_contain_text("No candidate")
    page.keyboard.press("k")
    expect(page.locator("h1")).to_have_text(DEPLOYMENT)


def test_every_control_is_reached_by_the_tabulator_and_is_named(room: Desk) -> None:
    page = room.page
    expect(page.locator("#kpi-per-week")).to_be_visible()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "find", "theme"} <= reached
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, [role=img], svg:not([aria-hidden])')]"
        ".filter(one => !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).map(one => one.outerHTML)"
    )
    assert unnamed == []


def test_a_control_plane_that_does_not_answer_is_said_and_forgiven(room: Desk) -> None:
    page = room.page
    expect(page.locator("#timeline li").first).to_be_visible()
    room.context.set_offline(True)
    expect(page.locator(".trouble")).to_contain_text("does not answer")
    expect(page.locator("#timeline li").first).to_be_visible()
    room.context.set_offline(False)
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator(".trouble")).to_have_count(0)


def test_the_api_page_opens_offline_too(gateway: Gateway, desk: Desk) -> None:
    for door in (gateway.control, gateway.data):
        desk.open(f"{door.base_url}/docs")
        expect(desk.page.locator(".opblock").first).to_be_visible()
    assert {urlsplit(url).hostname for url in desk.asked} == {"127.0.0.1"}
    assert [one for one in desk.said if "Content Security Policy" in one] == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("percent", [0.0512], "5.1 %"),
        ("percent", [0.00021], "0.021 %"),
        ("percent", [None], DASH),
        ("percentMark", [1.0, 0.2], "100 %"),
        ("percentMark", [0.125, 0.005], "12.5 %"),
        ("count", [12345], "12,345"),
        ("evidence", [0.034], "0.03"),
        ("evidence", [12345.0], "12,345"),
        ("evidence", [3.2e17], "3.2e17"),
        ("lasting", [0.0021], "2.1 ms"),
        ("lasting", [4.31], "4.3 s"),
        ("lasting", [2500], "42 min"),
        ("lasting", [9000], "2.5 h"),
        ("lasting", [400000], "4.6 d"),
        ("moment", [1362492120], "5 Mar 2013, 14:02"),
    ],
)
def test_the_page_says_numbers_as_people_do(room: Desk, name: str, value: list[Any], said: str) -> None:
    assert room.words(name, *value) == said

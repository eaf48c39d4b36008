"""``gateway plan``: a rollout that has not begun, reckoned through. Reads the log where there is one, and says so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from gateway.core.amounts import parse_duration, parse_share
from gateway.core.deployments import DeploymentSpec, Plan
from gateway.core.errors import InvalidBody, SettingsError, StoreUnavailable, UnknownDeployment
from gateway.core.findings import quantity
from gateway.core.forecast import about
from gateway.core.measures import Kind, Metric
from gateway.core.metrics import known, spelled, told_as
from gateway.core.planning import Delay, Detection, PlanForecast, Proof, StepForecast, Traffic, forecast, traffic_of
from gateway.core.rollout import chosen_plan, terms_of
from gateway.edge.cli_config import Config, settings_of
from gateway.edge.cli_judge import reading
from gateway.edge.tables import table

NEWEST = 50_000
"""Requests of the log that defaults are worked out from."""

_DAY_S = 86_400.0
_WITHOUT_A_RATE = frozenset({Kind.SLOWER, Kind.SPREAD, Kind.SHIFT, Kind.AGREEMENT})


def plan(
    deployment: Annotated[str | None, typer.Argument(help="Which; left out: the only one.")] = None,
    config: Config = None,
    plan: Annotated[str | None, typer.Option("--plan", help="Which plan; left out: the only one.")] = None,
    per_day: Annotated[float | None, typer.Option(help="Requests a day.", min=1e-9)] = None,
    labelled: Annotated[str | None, typer.Option(help="Share of requests that get a label, as 90%.")] = None,
    label_delay: Annotated[str | None, typer.Option(help="How long nearly all labels take, as 6h.")] = None,
    rate: Annotated[list[str] | None, typer.Option(help="Stable's badness, as accuracy=12%; again for each.")] = None,
    keys: Annotated[float | None, typer.Option(help="New keys per epoch, where keys are sticky.", min=1e-9)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a rollout can detect, and how long its steps and its proof take. Exit code 1: it can never decide."""
    spec, seen = _known(config, deployment)
    said = _Said(per_day, _share(labelled), _seconds(label_delay), _rates(rate or []), keys)
    traffic = _traffic(spec, seen, said)
    found = forecast(_chosen(spec, plan), terms_of(spec), traffic)
    typer.echo(json.dumps(_plain(found), indent=2) if as_json else _as_text(spec, found, from_log=seen is not None))
    raise typer.Exit(0 if found.decides_s is not None else 1)


def _plain(found: PlanForecast) -> dict[str, Any]:
    """The forecast as JSON has it: without the quantiles of a latency, which are thousands."""
    return asdict(replace(found, traffic=replace(found.traffic, tails={})))


class _Said:
    """What was typed, None where it was left out."""

    def __init__(
        self,
        per_day: float | None,
        labelled: float | None,
        label_delay_s: float | None,
        rates: Mapping[str, float],
        keys: float | None,
    ) -> None:
        self.per_day = per_day
        self.labelled = labelled
        self.label_delay_s = label_delay_s
        self.rates = dict(rates)
        self.keys = keys


def _known(config: "Config", named: str | None) -> tuple[DeploymentSpec, Traffic | None]:
    """The deployment as the file declares it, else as it stands; and what its log has seen, if anything."""
    specs = settings_of(config).specs()
    try:
        with reading(config) as store:
            states = {state.deployment: state for state in store.control.all()}
            name = _one(named, [*specs, *states])
            spec = specs.get(name) or states[name].spec
            rows = store.events.served(name, NEWEST) if name in states else []
            stable = states[name].stable if name in states else None
    except StoreUnavailable:
        name = _one(named, list(specs))
        return specs[name], None
    if stable is None:
        return spec, None
    yes = spelled(stable.model.classes, stable.model.task)
    try:
        return spec, traffic_of(
            rows, stable.generation, spec.guardrails, spec.rules.epoch_s, sticky=spec.rules.sticky, yes=yes
        )
    except ValueError:  # too little was served to tell a pace
        return spec, None


def _one(named: str | None, known_names: Sequence[str]) -> str:
    names = list(dict.fromkeys(known_names))
    if named is None and len(names) == 1:
        return names[0]
    if named is None:
        raise SettingsError(f"Name a deployment: {', '.join(names) or 'none is declared'}.")
    if named not in names:
        raise UnknownDeployment
    return named


def _chosen(spec: DeploymentSpec, named: str | None) -> Plan:
    try:
        return chosen_plan(spec, named)
    except InvalidBody:
        raise SettingsError(f"--plan must name a plan of {spec.name}: {', '.join(sorted(spec.plans))}.") from None


def _traffic(spec: DeploymentSpec, seen: Traffic | None, said: _Said) -> Traffic:
    """What was typed, over what the log has seen. Raises SettingsError where neither says how much comes in."""
    if said.per_day is None and seen is None:
        raise SettingsError(f"The log has not seen enough of {spec.name} to tell its pace; say --per-day.")
    labels = any(known(one.metric).labelled for one in spec.guardrails)
    if labels and said.labelled is None and seen is None:
        raise SettingsError(f"Guardrails of {spec.name} need labels; say --labelled, the share of requests with one.")
    base = seen or Traffic(0.0, 0.0, 1.0, spec.maturity_s, {})
    per_day = base.requests_per_day if said.per_day is None else said.per_day
    keys = base.keys_per_epoch if said.keys is None else said.keys
    if spec.rules.sticky and keys is None:
        raise SettingsError(f"Keys of {spec.name} are sticky; say --keys, new ones per epoch.")
    bets = min(per_day, keys * _DAY_S / spec.rules.epoch_s) if spec.rules.sticky and keys is not None else per_day
    return replace(
        base,
        requests_per_day=per_day,
        bets_per_day=bets,
        labelled=base.labelled if said.labelled is None else said.labelled,
        counted=base.counted if said.labelled is None else {},
        label_delay_s=base.label_delay_s if said.label_delay_s is None else said.label_delay_s,
        rates=base.rates | said.rates,
        keys_per_epoch=keys if spec.rules.sticky else None,
    )


def _rates(said: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in said:
        name, _, value = text.partition("=")
        share = _share(value)
        if known(name).kind in _WITHOUT_A_RATE:
            raise SettingsError(f"--rate {text}: {name} has no share of badness; what it is like, the log knows.")
        if share is None:
            raise SettingsError(f"--rate {text}: write it as METRIC=SHARE, such as accuracy=12%.")
        found[known(name).name] = share
    return found


def _share(text: str | None) -> float | None:
    """Read a share such as 5% or 0.05. Raises SettingsError."""
    if not text:
        return None
    try:
        share = parse_share(text)
    except ValueError as error:
        raise SettingsError(f"{text} {error}.") from error
    if not isinstance(share, float) or not 0.0 <= share <= 1.0:
        raise SettingsError(f"{text} is not a share between 0 and 1.")
    return share


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise SettingsError(f"{text} {error}.") from error
    return found if isinstance(found, float) else None


def _as_text(spec: DeploymentSpec, found: PlanForecast, *, from_log: bool) -> str:
    traffic, told = found.traffic, {one.metric: told_as(one) for one in spec.guardrails}
    source = "from the log" if from_log else "as said"
    what = f"{traffic.requests_per_day:,.0f} requests a day, {traffic.labelled:.0%} labelled within "
    what += f"{about(traffic.label_delay_s)} ({source})"
    if traffic.keys_per_epoch is not None:
        what += f"; {traffic.keys_per_epoch:,.0f} new keys per epoch, {traffic.bets_per_day:,.0f} bets a day"
    steps = table(("step", "share", "observations a day", "needs", "lasts"), [_step(one) for one in found.steps])
    parts = [f"{spec.name}, plan {found.plan}: {what}", steps]
    if found.detections:
        heads = (
            "guardrail",
            "stable",
            "tolerated",
            *(f"found by step {s.number}" for s in found.steps),
            "twice as bad: after",
            "five times: after",
        )
        parts.append(table(heads, [_detection(one, told[one.metric]) for one in found.detections]))
    if found.proofs:
        heads = ("to be promoted", "margin", "an equal candidate takes")
        parts.append(table(heads, [_proof(one, told[one.metric]) for one in found.proofs]))
    end = "never by itself" if found.decides_s is None else f"after about {about(found.decides_s)}"
    parts.append(f"an equal candidate is promoted {end}")
    parts += [f"warning: {warning}" for warning in found.warnings]
    return "\n\n".join(parts[: -1 - len(found.warnings)]) + "\n\n" + "\n".join(parts[-1 - len(found.warnings) :])


def _step(step: StepForecast) -> tuple[str, ...]:
    share = f"{step.weight:.0%}" if step.weight > 0.0 else f"shadow {step.shadow:.0%}"
    lasts = "for ever" if step.lasts_s is None else about(step.lasts_s)
    return str(step.number), share, f"{step.per_day:,.0f}", f"{step.events:,}", lasts


def _detection(found: Detection, told: Metric) -> tuple[str, ...]:
    by_step = ("-" if rate is None else _level(told, rate) for rate in found.by_step)
    return (
        f"{found.metric} (signal)" if found.signal else found.metric,
        _level(told, found.rate),
        _level(told, found.tolerated),
        *by_step,
        _delay(found.doubled),
        _delay(found.fivefold),
    )


def _proof(found: Proof, told: Metric) -> tuple[str, ...]:
    return found.metric, _level(told, found.margin), _delay(found.takes)


def _level(told: Metric, level: float) -> str:
    """Say a rate, an amount in the unit people know it in, or how many times as slow."""
    if told.kind is Kind.SLOWER:
        return f"x {level:.3g}"
    return quantity(told.told(level)) if told.kind in (Kind.MEAN, Kind.SHIFT) else f"{level:.3%}"


def _delay(delay: Delay | None) -> str:
    return "never" if delay is None else f"{about(delay.seconds)} ({delay.observations:,})"

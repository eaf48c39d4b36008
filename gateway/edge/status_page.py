"""A plain page that says how things stand, made on the server: no script, nothing fetched from anywhere.

The control room will be a better one; this one only has to be right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from gateway.core.routing import STABLE
from gateway.edge.control_schemas import (
    DecisionView,
    DeploymentView,
    PerformanceLine,
    PerformanceSpan,
    VariantView,
)

REFRESH_S = 5

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}h3{font-size:.95rem;margin:1rem 0 .25rem;color:#555}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top}
th{font-weight:600;color:#555;border-bottom:1px solid #ccc}td{border-bottom:1px solid #eee}
td.n{font-variant-numeric:tabular-nums}.quiet{color:#666}.fail,.demoted{color:#b00020}.pass,.promoted{color:#0a6e31}
.bar{display:inline-block;height:.7em;background:#7a9cc6}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181b}th,h3,.quiet{color:#a0a0a0}
th{border-color:#444}td{border-color:#2a2d31}.fail,.demoted{color:#ff7a85}.pass,.promoted{color:#63d28b}}
"""


@dataclass(frozen=True, slots=True)
class Glance:
    """One deployment, its last hours, its last decisions and its last weeks (oldest first)."""

    deployment: DeploymentView
    lately: PerformanceSpan
    decisions: tuple[DecisionView, ...]
    weeks: tuple[PerformanceSpan, ...]


def render(glances: Sequence[Glance], hours: float) -> str:
    """Write the page. Everything that came from outside is escaped."""
    parts = [_deployment(glance, hours) for glance in glances] or ["<p>No deployment yet.</p>"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Gateway</title>'
        f'<meta http-equiv="refresh" content="{REFRESH_S}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>Gateway</h1>{''.join(parts)}"
        f'<p class="quiet"><a href="docs">API</a> · <a href="metrics">metrics</a> · <a href="admin/ledger">ledger</a> '
        f"· this page reloads itself every {REFRESH_S} s</p></body></html>"
    )


def _deployment(glance: Glance, hours: float) -> str:
    shown = glance.deployment
    drift = ' · <span class="fail">the file declares something else</span>' if shown.config_drift else ""
    variants = _table(
        ("variant", "model", "share", "watches", "phase", "step", "verdict"), map(_variant, shown.variants)
    )
    lately = _table(
        ("variant", "version", "predictions", "failed", "with label", "accuracy", "Brier"),
        map(_performance, glance.lately.variants),
    )
    weeks = _table(
        ("week from", "version", "predictions", "with label", "accuracy"),
        (_week(week, line) for week in reversed(glance.weeks) for line in week.variants if line.variant == STABLE),
    )
    decisions = _table(("when (data time)", "revision", "who", "what", "why"), map(_decision, glance.decisions))
    return (
        f"<h2>{escape(shown.deployment)} <span class='quiet'>revision {shown.revision}{drift}</span></h2>{variants}"
        f"<h3>last {hours:g} hours of data time, until {_time(glance.lately.until)}</h3>{lately}"
        f"<h3>stable, week by week of data time</h3>{weeks}<h3>last decisions</h3>{decisions}"
    )


def _variant(variant: VariantView) -> list[str]:
    step = variant.step
    verdict = variant.verdict
    still = f'<br><span class="quiet">{escape(verdict.still_needed)}</span>' if verdict and verdict.still_needed else ""
    return [
        escape(variant.name),
        escape(f"{variant.model} {variant.model_version}"),
        _percent(variant.weight),
        _percent(variant.shadow) if variant.shadow else "",
        f'<span class="{escape(variant.phase)}">{escape(variant.phase)}</span>' if variant.phase else "",
        f"{step.number} of {step.of}" if step else "",
        f'<span class="{escape(verdict.finding)}">{escape(verdict.sentence)}</span>{still}' if verdict else "",
    ]


def _performance(line: PerformanceLine) -> list[str]:
    return [
        escape(line.variant),
        escape(line.model_version or "no longer known"),
        f"{line.predictions:,}",
        f"{line.failed:,} ({_percent(line.error_rate)})",
        f"{line.labelled:,}",
        _percent(line.accuracy),
        "none" if line.brier is None else f"{line.brier:.4f}",
    ]


def _week(week: PerformanceSpan, line: PerformanceLine) -> list[str]:
    bar = "" if line.accuracy is None else f'<span class="bar" style="width:{line.accuracy * 10:.2f}rem"></span>'
    return [
        _time(week.after)[:10],
        escape(line.model_version or "no longer known"),
        f"{line.predictions:,}",
        f"{line.labelled:,}",
        f"{bar} {_percent(line.accuracy)}",
    ]


def _decision(decision: DecisionView) -> list[str]:
    what = f"{decision.action} {decision.candidate or ''}"
    return [
        _time(decision.data_at),
        str(decision.revision),
        escape(decision.actor),
        escape(what),
        escape(decision.reason),
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells, which are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td class=n>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{body}</table>"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")

"""The drift report as a page: what is asked for in the query, and how the page leaves the house.

The page holds what people sent, drawn by somebody else's script. It is given a world of its own: no origin, nothing to
fetch, nobody to tell.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict
from starlette.responses import Response

from gateway.contrast import Asked
from gateway.core.drift.sides import Span
from gateway.core.errors import InvalidBody, Problem

MakeReport = Callable[[Asked], Awaitable[bytes]]
"""Makes a page. Slow. Raises ExtraMissing, UnknownDeployment, NothingToCompare, ReportFailed, Overloaded."""

_ALONE = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _ALONE, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class DriftQuery(BaseModel):
    """What a reader of drift may ask for beside the figures. Data time, with its offset from UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    report: Literal["html"] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    reference_since: AwareDatetime | None = None
    reference_until: AwareDatetime | None = None

    def asked(self, deployment: str) -> Asked:
        """Translate. Raises InvalidBody for a span with one end, or one that ends before it begins."""
        live = _span("since", self.since, "until", self.until)
        reference = _span("reference_since", self.reference_since, "reference_until", self.reference_until)
        return Asked(deployment, live, reference)


Drift = Annotated[DriftQuery, Query()]


async def page(make: MakeReport, asked: Asked) -> Response:
    """The report, shut off from everything else."""
    return Response(await make(asked), media_type="text/html; charset=utf-8", headers=_HEADERS)


def _span(begin: str, since: AwareDatetime | None, end: str, until: AwareDatetime | None) -> Span | None:
    if since is None and until is None:
        return None
    if since is None or until is None:
        missing = begin if since is None else end
        raise InvalidBody(Problem(f"/query/{missing}", "A span of time needs both of its ends."))
    if since >= until:
        raise InvalidBody(Problem(f"/query/{end}", "A span of time ends after it begins."))
    return Span(since.timestamp(), until.timestamp())

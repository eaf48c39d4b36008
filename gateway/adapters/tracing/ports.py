"""Ports with a span around what they do. Each passes on everything, to the letter."""

import asyncio
from collections.abc import Mapping, Sequence

from opentelemetry.trace import StatusCode
from opentelemetry.util.types import AttributeValue

from gateway.adapters.tracing.passages import PASSAGE, Passage
from gateway.core.deployments import Scalar
from gateway.core.errors import GatewayError, LogRefused
from gateway.core.events import Event, PredictionRecord
from gateway.core.features import FeatureBatch, FeaturePlan, Status
from gateway.core.routing import Part, RoutingTable
from gateway.ports import FeatureSource, Output, Routing, Runner, Spool

_HERE = bytes([Status.PRESENT])


class TracedRouting:
    """Begins ``route``, which ends with the first read or run: the table found, the body checked, the arms drawn."""

    def __init__(self, inner: Routing) -> None:
        self._inner = inner

    def table(self, deployment: str | None) -> RoutingTable:
        """As the port."""
        passage = PASSAGE.get()
        table = self._inner.table(deployment)
        if passage is not None:
            passage.routes(table.deployment, table.revision)
        return table

    def table_by_tag(self, tag: str) -> RoutingTable | None:
        """As the port."""
        return self._inner.table_by_tag(tag)

    def able(self, table: RoutingTable) -> frozenset[str]:
        """As the port."""
        return self._inner.able(table)


class TracedFeatures:
    """``features``: the one read, with the plan, the rows, and how many of the views' values were there."""

    def __init__(self, inner: FeatureSource) -> None:
        self._inner = inner

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        """As the port."""
        passage = PASSAGE.get()
        if passage is None:
            return await self._inner.read(plan, rows, budget_s)
        span = passage.begin("features", {"gateway.plan": plan.plan_id, "gateway.rows": len(rows)})
        try:
            batch = await self._inner.read(plan, rows, budget_s)
            span.set_attribute("gateway.values", sum(len(row) for row in batch.statuses))
            span.set_attribute("gateway.values_present", sum(row.count(_HERE) for row in batch.statuses))
            return batch
        finally:
            span.end()

    async def close(self) -> None:
        """As the port."""
        await self._inner.close()


class TracedRunner:
    """``model``: each run, with the variant and its version; one that fails says how."""

    def __init__(self, inner: Runner) -> None:
        self._inner = inner

    def loaded(self, digest: str) -> bool:
        """As the port."""
        return self._inner.loaded(digest)

    async def predict(self, part: Part, rows: Sequence[Sequence[Scalar]], deadline_s: float) -> list[Output]:
        """As the port."""
        passage = PASSAGE.get()
        span = None if passage is None else passage.model({
            "gateway.variant": part.name, "gateway.model_version": part.model.version, "gateway.rows": len(rows)
        })  # fmt: skip
        if span is None:
            return await self._inner.predict(part, rows, deadline_s)
        try:
            return await self._inner.predict(part, rows, deadline_s)
        except GatewayError as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()


class TracedSpool:
    """``spool``: from a request's first write to its last, the fsync included where one is asked for."""

    def __init__(self, inner: Spool) -> None:
        self._inner = inner

    def append(self, event: Event) -> None:
        """As the port."""
        passage = _spooling(event)
        self._inner.append(event)
        if passage is not None:
            passage.spooled()

    def append_soon(self, event: Event) -> "asyncio.Future[None]":
        """As the port."""
        passage = _spooling(event)
        done = self._inner.append_soon(event)
        if passage is not None:
            done.add_done_callback(lambda _: passage.spooled())
        return done

    def append_all(self, events: Sequence[Event]) -> list[LogRefused | None]:
        """As the port."""
        passages = [_spooling(event) for event in events]
        refusals = self._inner.append_all(events)
        if passages and passages[0] is not None:
            passages[0].spooled()
        return refusals

    async def flush(self) -> None:
        """As the port."""
        await self._inner.flush()
        passage = PASSAGE.get()
        if passage is not None:
            passage.spooled()

    def close(self) -> None:
        """As the port."""
        self._inner.close()


def _spooling(event: Event) -> Passage | None:
    passage = PASSAGE.get()
    if passage is not None:
        passage.spools()
        if isinstance(event, PredictionRecord):
            _describe(passage, event)
    return passage


def _describe(passage: Passage, record: PredictionRecord) -> None:
    """Say who was drawn and what came of it: ids and names, no value of a feature, no key, no answer."""
    said: dict[str, AttributeValue] = {
        "gateway.deployment": record.deployment,
        "gateway.prediction": f"{record.tag}.{record.body}",
        "gateway.assigned": record.assigned,
        "gateway.served": record.served,
        "gateway.degraded": record.degraded,
    }
    if record.error is not None:
        said["error.type"] = record.error
    passage.whole.set_attributes(said)

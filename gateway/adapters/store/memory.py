"""The store in memory: the port's semantics written out plainly. For tests, and for a gateway that may forget.

Everything is worked out when it is asked for, from the records as they came, so this is also what the contract tests
hold the databases' bookkeeping against.
"""

import operator
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from gateway.adapters.store.joins import (
    arm_latency,
    bets,
    day_of,
    draws,
    performance,
    visible,
)
from gateway.adapters.store.memory_outbox import MemoryOutbox
from gateway.adapters.store.memory_rows import (
    Bet,
    Kept,
    Request,
    answer_of,
    outcome_counts,
    pair_row,
    prediction_counts,
    replayable_row,
    served_row,
    shadow_counts,
)
from gateway.adapters.store.outbox import record_entry
from gateway.core.deployments import Scalar
from gateway.core.events import (
    CrashRecord,
    Event,
    EvidenceRow,
    JoinedRow,
    OutcomeRecord,
    PairRow,
    Position,
    PredictionRecord,
    ServedRow,
    ShadowRecord,
)
from gateway.core.gates import Replayable
from gateway.core.ids import tag_of
from gateway.ports import EXPIRED_AT_ONCE, Books, StoredPrediction, VariantPerformance, Window


class MemoryEventLog:
    """Every record in lists. Records of the kinds in ``tells`` wait in the outbox as well."""

    def __init__(self, outbox: MemoryOutbox | None = None, tells: Collection[str] = ()) -> None:
        self._outbox, self._tells = outbox or MemoryOutbox(), tells
        self._cursors: dict[str, int] = {}
        self._requests: defaultdict[tuple[str, str], Request] = defaultdict(Request)
        self._bets: list[Bet] = []
        self._claims: set[tuple[str, str, int, str]] = set()
        self._expired: list[tuple[str, list[Scalar]]] = []
        self._gone: set[str] = set()
        self._closed: dict[tuple[str, int], bool] = {}
        """Days that were let go; True: nothing of it was left when it was last looked at."""
        self._let_go: list[tuple[str, Request]] = []
        """What was forgotten, for the books: by tag, each prediction with what went with it."""

    def append(self, spool_id: str, events: Sequence[tuple[int, Event]], end: int) -> None:
        """Keep what is not known yet."""
        cursor = self._cursors.get(spool_id, 0)
        for offset, event in events:
            if offset >= cursor:
                self._outbox.put(record_entry(event, spool_id, offset, self._tells))
                self._keep(event, spool_id, offset)
        self._cursors[spool_id] = max(cursor, end)

    def close_writer(self, writer: str) -> None:
        """Remember that it is gone."""
        self._gone.add(writer)

    def expire_outcomes(self, before: float, most: int = EXPIRED_AT_ONCE) -> int:
        """Forget outcomes that waited too long, a prediction's metric as a whole."""
        waiting = [(tag, request) for (tag, _), request in self._requests.items() if not request.predictions]
        late = [
            (tag, request, history)
            for tag, request in waiting
            for history in map(request.history, request.metrics())
            if max(kept.record.received_at for kept in history) < before
        ]
        for tag, request, history in late[:most]:
            request.outcomes = [kept for kept in request.outcomes if kept not in history]
            self._expired.append((tag, [kept.record.value for kept in history]))
        return len(late[:most])

    def cursors(self) -> Mapping[str, int]:
        """How far every spool has been drained."""
        return dict(self._cursors)

    def evidence(self, deployment: str, generation: str, window: Window) -> list[EvidenceRow]:
        """The candidate's bets in the window."""
        tag = tag_of(deployment)
        found = [
            bet
            for bet in self._bets
            if bet.id[0] == tag
            and bet.generation == generation
            and window.after < bet.position.at <= window.until
            and visible(bet.position.spool_id, bet.position.offset, window.visible)
        ]
        return [self._row(bet, window.visible) for bet in sorted(found, key=operator.attrgetter("position"))]

    def pairs(self, deployment: str, generation: str, stable: str, window: Window) -> list[PairRow]:
        """The pairs in the window."""
        tag = tag_of(deployment)
        rows = (
            pair_row(request, generation, stable, window) for (of, _), request in self._requests.items() if of == tag
        )
        return sorted((row for row in rows if row is not None), key=operator.attrgetter("position"))

    def performance(self, deployment: str, after: float, until: float) -> list[VariantPerformance]:
        """Counts by variant."""
        tag = tag_of(deployment)
        answers = (answer_of(request) for (of, _), request in self._requests.items() if of == tag)
        return performance(a for at, a in filter(None, answers) if after < at <= until)

    def degraded(self, deployment: str, generations: Collection[str], after: float, until: float) -> tuple[int, int]:
        """Counts, for all of them together."""
        counted = [row for row in self.performance(deployment, after, until) if row.generation in generations]
        return sum(row.n for row in counted), sum(row.degraded for row in counted)

    def replayable(self, deployment: str, limit: int, *, labelled: bool) -> list[Replayable]:
        """The latest requests."""
        tag = tag_of(deployment)
        requests = [request for (of, _), request in self._requests.items() if of == tag]
        found = [
            one for request in requests if (one := replayable_row(request)) and (one.label is not None or not labelled)
        ]
        return sorted(found, key=operator.attrgetter("at"))[-limit:]

    def latest(self, deployment: str) -> float | None:
        """The greatest of them all."""
        tag = tag_of(deployment)
        records = (request.predictions for (of, _), request in self._requests.items() if of == tag)
        return max((kept.record.at for predictions in records for kept in predictions), default=None)

    def served(self, deployment: str, limit: int) -> list[ServedRow]:
        """The newest requests, oldest first."""
        tag = tag_of(deployment)
        rows = (served_row(request) for (of, _), request in self._requests.items() if of == tag)
        found = sorted((row for row in rows if row is not None), key=lambda row: row.row.position)
        return found[-limit:]

    def judged(self, deployment: str, after: float, until: float) -> list[tuple[PredictionRecord, dict[str, Scalar]]]:
        """Every record of a window of data time that counts, with the outcomes that count now."""
        found = [(request.judged, request) for request in self._of(deployment)]
        return [(kept.record, one.counting()) for kept, one in found if kept and after < kept.record.at <= until]

    def days(self, deployment: str) -> Mapping[int, int]:
        """Count, of every day, its predictions and their outcomes."""
        tag = tag_of(deployment)
        return {day: changes for day, changes in self._changes(tag).items() if (tag, day) not in self._closed}

    def joined(self, deployment: str, day: int, after: Position | None, limit: int) -> list[JoinedRow]:
        """A page of what is sorted anew each time."""
        found = [row for request in self._of(deployment) for row in request.joined() if day_of(row.record.at) == day]
        behind = [row for row in found if after is None or row.position > after]
        return sorted(behind, key=operator.attrgetter("position"))[:limit]

    def close_day(self, deployment: str, day: int, changes: int) -> bool:
        """Let it go."""
        if self.days(deployment).get(day) != changes:
            return False
        self._closed[tag_of(deployment), day] = False
        return True

    def closed_days(self, deployment: str) -> list[int]:
        """Those that may hold something."""
        tag = tag_of(deployment)
        held = self._changes(tag)
        return sorted(day for (of, day), done in self._closed.items() if of == tag and (not done or day in held))

    def forget(self, deployment: str, day: int, most: int) -> int:
        """Let go of some, the oldest first, and at last of crashes that no prediction followed."""
        tag = tag_of(deployment)
        found = [(kept, request) for request in self._of(deployment) for kept in request.predictions]
        page = sorted((one for one in found if day_of(one[0].record.at) == day), key=lambda one: one[0].record.at)
        for kept, request in page[:most]:
            self._forget_one(kept, request)
        if not page:
            for request in self._of(deployment):
                if not request.predictions:
                    self._let_go.append((tag, Request(crashes=request.forget_crashes(day))))
            self._bets = [bet for bet in self._bets if bet.id[0] != tag or day_of(bet.position.at) != day]
            self._closed[tag, day] = True
        return len(page[:most])

    def forget_claims(self, deployment: str, generation: str, most: int) -> int:
        """Drop some."""
        tag = tag_of(deployment)
        some = [claim for claim in sorted(self._claims) if claim[:2] == (tag, generation)][:most]
        self._claims -= set(some)
        return len(some)

    def _forget_one(self, kept: Kept[PredictionRecord], request: Request) -> None:
        """Let a prediction go; with the last of its id, all that is known of it."""
        tag = kept.record.tag
        request.predictions.remove(kept)
        self._bets = [bet for bet in self._bets if bet.record is not kept.record]
        if request.predictions:
            self._let_go.append((tag, Request(predictions=[kept])))
            return
        histories = [request.history(metric) for metric in sorted(request.metrics())]
        self._expired += [(tag, [told.record.value for told in history]) for history in histories]
        self._let_go.append((tag, Request([kept], request.crashes, request.shadows)))
        del self._requests[kept.id]

    def _changes(self, tag: str) -> Counter[int]:
        changes: Counter[int] = Counter()
        for request in self._tagged(tag):
            for kept in request.predictions:
                changes[day_of(kept.record.at)] += 1 + len(request.outcomes)
        return changes

    def _tagged(self, tag: str) -> list[Request]:
        return [request for (of, _), request in self._requests.items() if of == tag]

    def _of(self, deployment: str) -> list[Request]:
        return self._tagged(tag_of(deployment))

    def prediction(self, tag: str, body: str) -> StoredPrediction | None:
        """One prediction with all that is known of it."""
        request = self._requests.get((tag, body))
        if request is None or not request.predictions:
            return None
        ordered = [kept for metric in sorted(request.metrics()) for kept in request.history(metric)]
        return StoredPrediction(
            request.predictions[0].record,
            len(request.predictions),
            tuple(kept.record for kept in request.shadows),
            tuple(kept.record for kept in ordered),
        )

    def books(self, deployment: str | None = None) -> Books:
        """Count everything, from the records themselves."""
        only = None if deployment is None else tag_of(deployment)
        requests = [request for (tag, _), request in self._requests.items() if only in {None, tag}]
        expired = [history for tag, history in self._expired if only in {None, tag}]
        let_go = [request for tag, request in self._let_go if only in {None, tag}]
        shadows = shadow_counts([*requests, *let_go], self._gone)
        return Books(prediction_counts(requests, let_go), outcome_counts(requests, expired), shadows)

    def _keep(self, event: Event, spool_id: str, offset: int) -> None:
        if isinstance(event, PredictionRecord):
            self._keep_prediction(Kept(event, spool_id, offset))
        elif isinstance(event, CrashRecord):
            self._keep_crash(Kept(event, spool_id, offset))
        elif isinstance(event, ShadowRecord):
            self._requests[event.tag, event.body].shadows.append(Kept(event, spool_id, offset))
        elif isinstance(event, OutcomeRecord):
            self._requests[event.tag, event.body].outcomes.append(Kept(event, spool_id, offset))

    def _keep_prediction(self, kept: Kept[PredictionRecord]) -> None:
        request, record = self._requests[kept.id], kept.record
        last = max((one.attempt for one in request.predictions), default=0)
        kept = replace(kept, attempt=1 + max(last, int(request.crashed_first)))
        request.predictions.append(kept)
        open_to = {arm.generation for arm, _ in draws(record) if self._claim(record, arm.generation)}
        if request.judged is not kept:
            return
        for bet in bets(record):
            if bet.generation in open_to:
                self._bets.append(
                    Bet(kept.id, bet.generation, kept.position(record.at), bet.candidate, bet.propensity, record)
                )

    def _claim(self, record: PredictionRecord, generation: str) -> bool:
        """Whether this request may be a bet on its key: always, unless the key has been drawn in this epoch before."""
        claim = (record.tag, generation, record.epoch, record.key_hash)
        if record.sticky and claim in self._claims:
            return False
        if record.sticky:
            self._claims.add(claim)
        return True

    def _keep_crash(self, kept: Kept[CrashRecord]) -> None:
        request, record = self._requests[kept.id], kept.record
        first = not request.predictions and not request.crashes
        request.crashes.append(kept)
        if not first:
            return
        request.crashed_first = True
        earlier = [
            bet
            for bet in self._bets
            if bet.id[0] == record.tag and bet.generation == record.generation and bet.position.at <= record.at
        ]
        if earlier:
            propensity = max(earlier, key=operator.attrgetter("position")).propensity
            self._bets.append(Bet(kept.id, record.generation, kept.position(record.at), True, propensity, None))

    def _row(self, bet: Bet, seen: Mapping[str, int]) -> EvidenceRow:
        record = bet.record
        return EvidenceRow(
            bet.position,
            bet.candidate,
            bet.propensity,
            failed=record is None or record.error is not None,
            label=record.label if record else None,
            score=record.score if record else None,
            scores=record.scores if record else None,
            latency_s=arm_latency(record) if record else 0.0,
            outcomes=self._requests[bet.id].counting(seen),
        )

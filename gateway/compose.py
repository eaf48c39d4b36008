"""The composition root: which adapter stands behind which port. Production and tests share it.

:func:`serving` puts a worker's stories together, :func:`controlling` the agent's. Neither starts anything.
"""

import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.adapters.alerts import AppriseAnnouncer, LogAnnouncer, LogSink
from gateway.adapters.alerts.heads import HeadKeeper
from gateway.adapters.clock import ReplayClock, WallClock, open_clock
from gateway.adapters.drift import PackedDriftCodec, Reporter
from gateway.adapters.features import FeatureReader, open_compiler
from gateway.adapters.models import ModelCache, PoolRunner, open_model_store
from gateway.adapters.models.profile import decode_profile
from gateway.adapters.policy import open_policy
from gateway.adapters.registry import registry_of
from gateway.adapters.retraining.command import CommandTarget
from gateway.adapters.spool.drain import SpoolReader
from gateway.adapters.spool.marks import MarksFile
from gateway.adapters.spool.names import OUTCOMES, PREDICTIONS
from gateway.adapters.spool.segment import SEGMENT_BYTES, SegmentSpool
from gateway.adapters.store import SHARED, Store, open_store
from gateway.adapters.store.judge_codec import JsonJudgeCodec
from gateway.adapters.store.keys import await_keys, load_or_create_keys, share_keys
from gateway.control import Control
from gateway.core.alerts import Kind
from gateway.core.drift.profiles import Profile
from gateway.core.errors import PlanImpossible
from gateway.core.features import NO_FEATURES, FeaturePlan
from gateway.core.ids import SigningKeys
from gateway.core.retraining.terms import Target
from gateway.documents import Documents
from gateway.drifting import Drifting
from gateway.feedback import Feedback
from gateway.governance import Governance
from gateway.ports import (
    AlertSink,
    Announcer,
    ControlState,
    DriftSink,
    EventSink,
    Flags,
    Incoming,
    Lake,
    ModelStore,
    Observer,
    OutcomeSource,
    PlanCompiler,
    Registry,
    Routing,
)
from gateway.predict import Predict
from gateway.retraining import Runs
from gateway.settings import Settings
from gateway.shadow import ShadowLane
from gateway.triggers import Triggers

if TYPE_CHECKING:
    from gateway.adapters.tracing import AgentTraces, Tracing

_KEYS_WITHIN_S = 20.0
_EXPORTING = "gateway.processes.exporting"


@dataclass(frozen=True, slots=True)
class Serving:
    """What a worker does: its stories, and what they stand on."""

    predict: Predict
    feedback: Feedback
    shadows: ShadowLane
    features: FeatureReader
    predictions: SegmentSpool
    outcomes: SegmentSpool
    marks: MarksFile

    async def close(self, shadows_s: float) -> None:
        """Give shadows ``shadows_s`` seconds, then seal the spools: after this, nothing can be recorded."""
        await self.shadows.drain(shadows_s)
        await self.shadows.close()
        self.predictions.close()
        self.outcomes.close()
        self.marks.close()
        await self.features.close()


def serving(
    settings: Settings,
    *,
    routing: Routing,
    runner: PoolRunner,
    clock: WallClock | ReplayClock,
    observer: Observer,
    read_error: Callable[[str, str], None],
    crowded: Callable[[], bool] = lambda: False,
    flags: Flags | None = None,
    tracing: "Tracing | None" = None,
) -> Serving:
    """Put a worker's stories together over its state folder; with ``tracing`` their ports are traced.

    While it is ``crowded``, shadows are dropped.
    """
    spool = spool_folder(settings)
    signing = keys(settings)
    lane = partial(SegmentSpool, spool, segment_bytes=_segment(settings.max_spool), cap_bytes=settings.max_spool)
    predictions, outcomes = lane(PREDICTIONS), lane(OUTCOMES)
    marks = MarksFile(spool)
    features = FeatureReader(read_error)
    shadows = _shadow_lane(runner, predictions, clock, marks, observer, tracing)
    predict = Predict(
        routing=routing if tracing is None else tracing.routing(routing),
        features=features if tracing is None else tracing.features(features),
        runner=runner if tracing is None else tracing.runner(runner),
        spool=predictions if tracing is None else tracing.spool(predictions),
        shadows=shadows,
        clock=clock,
        keys=lambda: signing,
        random=os.urandom,
        marks=marks,
        observer=observer,
        crowded=crowded,
        flags=flags,
        together=runner.together,
    )
    told = outcomes if tracing is None else tracing.spool(outcomes)
    feedback = Feedback(told, routing, clock, lambda: signing, observer)
    return Serving(predict, feedback, shadows, features, predictions, outcomes, marks)


def _shadow_lane(
    runner: PoolRunner,
    spool: SegmentSpool,
    clock: WallClock | ReplayClock,
    marks: MarksFile,
    observer: Observer,
    tracing: "Tracing | None",
) -> ShadowLane:
    """The lane, each of whose runs is a span where requests are traced."""
    if tracing is None:
        return ShadowLane(runner, spool, clock, marks=marks, observer=observer, together=runner.together)
    from gateway.adapters.tracing import TracedShadowLane  # an extra, which nobody pays for who does not ask for it

    spans = tracing.shadows(observer)
    return TracedShadowLane(spans, runner, spool, clock, marks=marks, together=runner.together)


@dataclass(frozen=True, slots=True)
class Controlling:
    """What the agent does: the story of a look, and what it stands on."""

    control: Control
    judge: Control
    """The same story as the leader tells it: what it writes holds only while this host leads."""
    drifting: Drifting
    runs: Runs
    leading_runs: Runs
    """The same, as the leader tells it; so are the looks for causes."""
    triggers: Triggers
    store: Store
    host: str
    keys: SigningKeys
    clock: WallClock | ReplayClock
    spool: SpoolReader
    models: ModelStore
    registry: Registry
    cache: ModelCache
    compiler: PlanCompiler


def controlling(
    settings: Settings,
    alerts: Sequence[AlertSink] | None = None,
    drift: Sequence[DriftSink] = (),
    tracing: "AgentTraces | None" = None,
) -> Controlling:
    """Open the store and put the agent's stories together; with ``tracing`` the store is traced.

    Raises StoreUnavailable, SettingsError.
    """
    host = host_name(settings)
    opened = open_store(settings.store_url, host, tells=told_kinds(settings))
    store = opened if tracing is None else tracing.store(opened)
    clock = open_clock(settings.clock)
    told = [*([LogSink()] if alerts is None else alerts), HeadKeeper(heads_file(settings), store.control)]
    gate = open_policy(settings.policy, clock)
    prepared = cache(settings)
    models = model_store(settings)

    def story(state: ControlState) -> Control:
        return Control(
            state,
            store.events,
            clock,
            JsonJudgeCodec(),
            token=lambda: secrets.token_hex(6),
            alerts=told,
            governance=Governance(gate, state, store.events, clock),
        )

    judge = story(store.leading)
    drifting = Drifting(store.drift, judge, partial(_profile, prepared), PackedDriftCodec(), drift)
    leading = Documents(store.leading, clock, told)
    leading_runs = Runs(leading, store.events, clock)
    return Controlling(
        control=story(store.control),
        judge=judge,
        drifting=drifting,
        runs=Runs(Documents(store.control, clock, told), store.events, clock),
        leading_runs=leading_runs,
        triggers=Triggers(leading_runs, leading, store.drift, drifting),
        store=store,
        host=host,
        keys=keys(settings) if store.keys is None else share_keys(_keys_file(settings), store.keys),
        clock=clock,
        spool=SpoolReader(spool_folder(settings)),
        models=models,
        registry=registry_of(models),
        cache=prepared,
        compiler=NoCompiler() if settings.features is None else open_compiler(str(settings.features)),
    )


def open_traces(settings: Settings, worker: int) -> "Tracing | None":
    """Open a worker's way to the collector, where the settings name one."""
    if not settings.traces:
        return None
    from gateway.adapters.tracing import open_tracing  # an extra, which nobody pays for who does not ask for it

    return open_tracing(settings.traces, settings.trace_share, worker)


def open_agent_traces(settings: Settings) -> "AgentTraces | None":
    """Open the agent's way to the collector, where the settings name one."""
    if not settings.traces:
        return None
    from gateway.adapters.tracing import open_agent_traces  # an extra, which nobody pays for who does not ask for it

    return open_agent_traces(settings.traces, settings.trace_share)


def announcer(settings: Settings, count: Callable[[Kind, str], None]) -> Announcer:
    """The way to people: apprise where targets are set, else the log. Raises SettingsError for an unusable target."""
    said = settings.alerts
    if not said.targets:
        return LogAnnouncer()
    return AppriseAnnouncer(
        said.targets,
        open_clock(settings.clock),
        kinds=said.kinds,
        group_s=said.group,
        quiet_s=said.quiet,
        link=said.link,
        count=count,
    )


def told_kinds(settings: Settings) -> tuple[str, ...]:
    """Kinds of events that a broker is told of."""
    return () if settings.kafka is None else tuple(settings.kafka.send.topics())


def open_sink(settings: Settings) -> EventSink | None:
    """Open the way to a broker, where the settings name topics. Raises SettingsError."""
    said = settings.kafka
    if said is None or not said.send.topics():
        return None
    from gateway.adapters.stream.kafka import KafkaSink  # an extra

    return KafkaSink(said.servers, said.send.topics(), said.options, structured=said.mode == "structured")


def open_source(settings: Settings) -> "tuple[OutcomeSource, Callable[[Incoming], object]] | None":
    """Open the topic that outcomes come from, where the settings name one, and what reads it. Raises SettingsError."""
    said = settings.kafka
    if said is None or said.take is None:
        return None
    from gateway.adapters.stream.cloud import read_body  # an extra
    from gateway.adapters.stream.kafka import KafkaSource

    take = said.take
    return KafkaSource(said.servers, take.topic, take.group, take.dead_topic, said.options), read_body


def outcome_lane(settings: Settings) -> SegmentSpool:
    """A lane of outcomes for this process, as a worker has one."""
    most = settings.max_spool
    return SegmentSpool(spool_folder(settings), OUTCOMES, segment_bytes=_segment(most), cap_bytes=most)


def open_lake(settings: Settings) -> Lake | None:
    """The export that has to have a day before it is forgotten, where the settings name one."""
    exported = settings.retention.exported
    if exported is None:
        return None
    from gateway.adapters.lake import ParquetLake  # pyarrow, 40 MB, which a worker does not need

    return ParquetLake(exported)


def open_export(settings: Settings, deployment: str, target: Target) -> CommandTarget:
    """What writes the joined log to ``target.export``: a process of its own, beside the store's writer."""
    frozen = (settings.state_dir / "run" / "settings.json").absolute()
    command = (sys.executable, "-m", _EXPORTING, str(frozen), deployment, target.export)
    return CommandTarget(command, retraining_folder(settings), target.timeout_s)


def _profile(models: ModelCache, digest: str) -> Profile | None:
    raw = models.profile(digest)
    return None if raw is None else decode_profile(raw)


class NoCompiler:
    """Stands where no feature repository is configured."""

    def compile(self, services: Sequence[str]) -> FeaturePlan:
        """Raise PlanImpossible unless nothing is asked for."""
        if services:
            names = ", ".join(services)
            raise PlanImpossible(f"The model reads {names}, but no feature repository is set (features).")
        return NO_FEATURES


def model_store(settings: Settings) -> ModelStore:
    """Where models come from. Raises SettingsError."""
    return open_model_store(settings.registry, folders=settings.model_folders)


def cache(settings: Settings) -> ModelCache:
    """Where this host keeps prepared models."""
    return ModelCache(models_folder(settings))


def reporter(settings: Settings) -> Reporter:
    """Whoever makes drift reports, from this host's store and prepared models."""
    return Reporter(settings.store_url, models_folder(settings))


def models_folder(settings: Settings) -> Path:
    """The folder of prepared models. A child process opens it from elsewhere."""
    return (settings.state_dir / "models").absolute()


def keys(settings: Settings) -> SigningKeys:
    """The keys that sign prediction ids: made by whoever comes first, or brought by the agent from a shared store."""
    if settings.store_url.partition(":")[0] in SHARED:
        return await_keys(_keys_file(settings), _KEYS_WITHIN_S)
    return load_or_create_keys(_keys_file(settings))


def host_name(settings: Settings) -> str:
    """What this host is called among those that share its store: it goes with the state folder, not the machine."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    path = settings.state_dir / "host"
    with contextlib.suppress(FileExistsError), path.open("x") as file:
        file.write(f"{socket.gethostname()}-{secrets.token_hex(4)}")
    return path.read_text()


def _keys_file(settings: Settings) -> Path:
    return settings.state_dir / "keys.json"


def spool_folder(settings: Settings) -> Path:
    """Where workers write and the agent drains."""
    return settings.state_dir / "spool"


def _segment(most: int) -> int:
    """Size of a segment: a small part of what the log may hold, for its bound is looked at when one is begun."""
    return max(1, min(SEGMENT_BYTES, most // 8))


def heads_file(settings: Settings) -> Path:
    """Where the heads of timelines are noted, outside the store."""
    return settings.state_dir / "audit-heads.json"


def retraining_folder(settings: Settings) -> Path:
    """Where commands that train print to, a file per run."""
    return settings.state_dir / "retraining"


def tables_folder(settings: Settings) -> Path:
    """Where the agent leaves routing tables for workers that start without it."""
    return settings.state_dir / "tables"

"""What the gateway needs from the world, as protocols. One folder under ``adapters`` per port, a memory form in each.

Adapters translate foreign errors into :mod:`gateway.core.errors` where they enter. A file here per family of ports; all
their names can be had from here.
"""

from gateway.ports.alerts import AlertSink, Announcer
from gateway.ports.clock import Clock
from gateway.ports.control import ControlState
from gateway.ports.drift import DriftLog, DriftSink, Profiles
from gateway.ports.events import EXPIRED_AT_ONCE, Books, EventLog, Spread, StoredPrediction, VariantPerformance, Window
from gateway.ports.features import FeatureSource, PlanCompiler
from gateway.ports.hosts import Hosts, HostWord, Leadership
from gateway.ports.lake import Lake
from gateway.ports.models import Artifact, Model, ModelStore, Output, Runner
from gateway.ports.observer import Observer, Unobserved
from gateway.ports.policy import PolicyGate
from gateway.ports.registry import RegisteredVersion, Registry
from gateway.ports.retraining import Order, RetrainingTarget, Taken
from gateway.ports.routing import Flags, Routing
from gateway.ports.spool import Marks, Spool, Unmarked
from gateway.ports.streams import Delivery, EventSink, Incoming, Outbox, OutcomeSource, Untold

__all__ = [
    "EXPIRED_AT_ONCE",
    "AlertSink",
    "Announcer",
    "Artifact",
    "Books",
    "Clock",
    "ControlState",
    "Delivery",
    "DriftLog",
    "DriftSink",
    "EventLog",
    "EventSink",
    "FeatureSource",
    "Flags",
    "HostWord",
    "Hosts",
    "Incoming",
    "Lake",
    "Leadership",
    "Marks",
    "Model",
    "ModelStore",
    "Observer",
    "Order",
    "Outbox",
    "OutcomeSource",
    "Output",
    "PlanCompiler",
    "PolicyGate",
    "Profiles",
    "RegisteredVersion",
    "Registry",
    "RetrainingTarget",
    "Routing",
    "Runner",
    "Spool",
    "Spread",
    "StoredPrediction",
    "Taken",
    "Unmarked",
    "Unobserved",
    "Untold",
    "VariantPerformance",
    "Window",
]

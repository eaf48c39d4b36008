"""Everything that can go wrong, named for what happened.

GatewayError
├── BadRequest               what the caller sent does not fit
│   ├── InvalidBody          one or more places in the body are wrong (``problems`` names them)
│   ├── UnknownDeployment    no such deployment
│   ├── UnknownVariant       no such variant, candidate or shadow
│   ├── UnknownPrediction    the id was never issued here, or its record is not visible yet
│   ├── UnknownRun           no retraining run of that id is kept
│   └── ForcingForbidden     X-Variant on a deployment that does not allow it
├── Unserviceable            the gateway cannot answer now; trying again may help
│   ├── NoModelReady         stable's model is not loaded on this worker
│   ├── FeaturesUnavailable  required features could not be read within their budget
│   ├── LogRefused           the spool did not take the record
│   ├── Overloaded           more work than this worker takes on
│   ├── StoreUnavailable     the store cannot be reached
│   │   └── EvidenceUnreadable  what the judge remembered of a candidate cannot be read
│   ├── NotLeading           another host leads now, so what this one decided does not hold
│   ├── OutboundRefused      another server was not called, or its answer was not taken
│   ├── TargetFailed         a retraining target could not be called, or failed
│   ├── PolicyPending        the policy was asked and has not answered yet
│   ├── LakeUnavailable      the place that predictions are exported to cannot be written
│   └── ReportFailed         a drift report took too much time or memory, or could not be drawn
├── ModelFailed              a model raised, or answered something that is no answer
├── DeadlinePassed           the time given to the request or to a part of it is over
├── ControlError             an operator's change that cannot be made
│   ├── InvalidTransition    the rollout's phase does not take that signal
│   ├── RevisionConflict     the control document has moved on since it was read
│   ├── RevisionRequired     a change of the whole split must name the revision it was made for
│   ├── CandidateRunning     a candidate of that name is already running
│   ├── CandidateLatched     the candidate was demoted; only a new generation may take traffic
│   ├── Unmeasurable         a guardrail cannot be measured on this deployment
│   ├── PolicyDenied         the policy has something against a rollout or a promotion
│   ├── NotReplayable        a recorded decision cannot be computed again
│   ├── Quarantined          the model was demoted and has to stay out for a while yet
│   ├── Postponed            nothing may start now: a freeze, a watch, or the time after a demotion
│   ├── NoTarget             the deployment does not say who trains it again
│   └── RunUnderWay          a retraining run has not ended yet
├── ModelUnusable            an artifact cannot be fetched, verified, loaded or served here
│   ├── GateRefused          the model did not pass the validation gate (the message says which, and by how much)
│   └── RegistryUnavailable  the registry cannot be reached; trying again may help
├── PlanImpossible           the features a model asks for cannot be read from this repository
├── NothingToCompare         a drift report has nothing on one of its sides
├── ExtraMissing             what was asked for needs a package that is not installed
└── SettingsError            the configuration does not make sense

Nothing here knows HTTP; :mod:`gateway.edge.problems` turns each class into a status code.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


class GatewayError(Exception):
    """The root: catch this and nothing else of ours escapes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One place in a body that does not fit. ``pointer`` is an RFC 6901 JSON pointer."""

    pointer: str
    detail: str


class BadRequest(GatewayError):
    """What the caller sent does not fit."""


class InvalidBody(BadRequest):
    """One or more places in the body are wrong. Never echoes what was sent."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("The body does not fit.")
        self.problems = problems


class UnknownDeployment(BadRequest):
    """No deployment of that name is served here."""

    def __init__(self) -> None:
        super().__init__("No deployment of that name is served here.")


class UnknownVariant(BadRequest):
    """The deployment has no variant, candidate or shadow of that name."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(f"No variant of that name; there are: {', '.join(known) or 'none'}.")
        self.known = known


class UnknownPrediction(BadRequest):
    """The id was never issued here, or its record is not visible yet."""

    def __init__(self) -> None:
        super().__init__("No prediction of that id is known here.")


class UnknownRun(BadRequest):
    """No retraining run of that id is kept."""

    def __init__(self) -> None:
        super().__init__("No retraining run of that id is kept here.")


class ForcingForbidden(BadRequest):
    """``X-Variant`` was sent to a deployment that does not allow it."""

    def __init__(self) -> None:
        super().__init__("This deployment does not allow a variant to be forced (allow_forced).")


class Unserviceable(GatewayError):
    """The gateway cannot answer now; trying again after ``retry_after_s`` seconds may help."""

    retry_after_s = 1.0


class NoModelReady(Unserviceable):
    """Stable's model is not loaded on this worker."""

    def __init__(self, deployment: str) -> None:
        super().__init__(f"No model of {deployment} is ready on this worker yet.")


class FeaturesUnavailable(Unserviceable):
    """Required features could not be read within their budget."""


class LogRefused(Unserviceable):
    """The spool did not take the record, and the deployment says ``when_log_fails: refuse``."""


class Overloaded(Unserviceable):
    """More requests are under way than this worker takes on."""


class StoreUnavailable(Unserviceable):
    """The store (event log and control state) cannot be reached."""


class EvidenceUnreadable(StoreUnavailable):
    """What the judge remembered of a candidate cannot be read; the next look closes it and lets it begin again."""

    def __init__(self, why: str) -> None:
        super().__init__(f"What the judge remembered cannot be read: {why}")


class NotLeading(Unserviceable):
    """Another host leads now, so what this one decided does not hold."""

    def __init__(self) -> None:
        super().__init__("Another host leads now.")


class OutboundRefused(Unserviceable):
    """Another server (identity provider, policy server) was not called, or its answer was not taken."""


class TargetFailed(Unserviceable):
    """A retraining target could not be called, or did not do what it was asked. The message is for people."""


class PolicyPending(Unserviceable):
    """The policy was asked and has not answered yet; ``answer`` is done when it has."""

    def __init__(self, answer: "Future[Any]") -> None:
        super().__init__("The policy has not answered yet.")
        self.answer = answer


class LakeUnavailable(Unserviceable):
    """The place that predictions are exported to cannot be written."""


class ReportFailed(Unserviceable):
    """A drift report took too much time or memory, or could not be drawn; the message says which."""


class ModelFailed(GatewayError):
    """A model raised, or answered something that is no answer. ``kind`` is the foreign error's class name."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"The model failed ({kind}).")
        self.kind = kind


class DeadlinePassed(GatewayError):
    """The time given to the request, or to a part of it, is over."""

    def __init__(self, part: str) -> None:
        super().__init__(f"The deadline passed during {part}.")
        self.part = part


class ControlError(GatewayError):
    """An operator's change that cannot be made."""


class InvalidTransition(ControlError):
    """The rollout's phase does not take that signal. ``phase`` is "none" where there is nobody to take it."""

    def __init__(self, phase: str, signal: str, because: str = "") -> None:
        super().__init__(because or f"A rollout that is {phase} cannot be told to {signal}.")
        self.phase = phase
        self.signal = signal


class RevisionConflict(ControlError):
    """The control document has moved on since it was read."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"The deployment is at revision {found}, not {expected}; read it again.")
        self.expected = expected
        self.found = found


class RevisionRequired(ControlError):
    """A change of the whole split must name the revision it was made for (``If-Match``)."""

    def __init__(self) -> None:
        super().__init__('Send If-Match: "<revision>"; the ETag of the deployment is its revision.')


class CandidateRunning(ControlError):
    """A candidate of that name is already running."""

    def __init__(self, name: str, phase: str) -> None:
        super().__init__(f"Candidate {name} is already running (it is {phase}).")
        self.name = name
        self.phase = phase


class CandidateLatched(ControlError):
    """The candidate was demoted; only a new generation may take traffic."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Candidate {name} was demoted; start a new rollout to give it traffic again.")
        self.name = name


class Unmeasurable(ControlError):
    """A guardrail cannot be measured on this deployment; ``metric`` names it."""

    def __init__(self, metric: str, reason: str) -> None:
        super().__init__(f"Guardrail {metric} cannot be measured here: {reason}")
        self.metric = metric


class PolicyDenied(ControlError):
    """The policy has something against it: ``reasons`` are its own sentences."""

    def __init__(self, action: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"The policy does not let this {action} happen: {'; '.join(reasons)}.")
        self.reasons = reasons


class NotReplayable(ControlError):
    """A recorded decision cannot be computed again; the message says why."""


class Quarantined(ControlError):
    """The model was demoted and has to stay out until data time ``until`` (seconds)."""

    def __init__(self, digest: str, times: int, until: float) -> None:
        super().__init__(
            f"The model {digest[:12]} was demoted {times} time{'s' if times > 1 else ''} and stays out until "
            f"{_moment(until)}. An operator may override it."
        )
        self.digest = digest
        self.until = until


class Postponed(ControlError):
    """Nothing may start now: a freeze, or the time after a demotion."""


class NoTarget(ControlError):
    """The deployment does not say who trains it again."""

    def __init__(self) -> None:
        super().__init__("This deployment declares nobody who would train it again (retraining.target).")


class RunUnderWay(ControlError):
    """A retraining run has not ended yet."""

    def __init__(self, run_id: str, phase: str) -> None:
        super().__init__(f"The retraining run {run_id} has not ended yet (it is {phase}).")
        self.run_id = run_id


class ModelUnusable(GatewayError):
    """An artifact cannot be fetched, verified, loaded or served here."""


class GateRefused(ModelUnusable):
    """The model did not pass the validation gate. ``evidence`` holds every gate's result, for the timeline."""

    def __init__(self, sentences: tuple[str, ...], evidence: dict[str, object]) -> None:
        super().__init__(" ".join(sentences))
        self.evidence = evidence


class RegistryUnavailable(ModelUnusable):
    """The registry cannot be reached. What serves goes on serving."""


class PlanImpossible(GatewayError):
    """The features a model asks for cannot be read from this Feast repository."""


class NothingToCompare(GatewayError):
    """A drift report has nothing on one of its sides; the message says what is missing."""


class ExtraMissing(GatewayError):
    """What was asked for needs a package that is not installed; the message says how to get it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"This needs {package}, which is not installed: pip install 'gateway[{extra}]'.")


class SettingsError(GatewayError):
    """The configuration does not make sense; the message says which words would."""


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

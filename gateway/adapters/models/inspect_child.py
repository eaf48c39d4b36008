"""The process in which an artifact is opened for the first time: ``python -m gateway.adapters.models.inspect_child``.

It reads one job (JSON) from standard input and prints one verdict (JSON). Opening a pickle may run anything, so this
process limits its own memory, processor and wall time first, and only then touches the artifact. It is no sandbox:
it keeps a broken model from hurting the agent, not a hostile one from reading what this user may read.
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gateway.adapters.children import keep_stdout_for_the_answer, limit
from gateway.adapters.models.artifacts import verified
from gateway.adapters.models.choosing import choose
from gateway.adapters.models.compiled import COMPILED_FILE
from gateway.adapters.models.flavours import Description, flavour
from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.rows import example_row
from gateway.adapters.models.sklearn_model import SklearnModel
from gateway.core.deployments import ORIGINAL, Form, ModelCard
from gateway.core.errors import GatewayError, ModelFailed, ModelUnusable
from gateway.ports import Artifact, Model, Output


@dataclass(frozen=True, slots=True)
class Job:
    """What to open: the artifact's folder, the digest its bytes must have, and what opening it may cost."""

    folder: str
    digest: str
    artifact: Artifact
    wall_s: float
    memory_bytes: int
    artifact_bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model that loads and answers takes and gives, or the sentence that says why it is unusable.

    A ``form`` that is not the original lies beside, in the file ``compiled``.
    """

    found: Description | None = None
    unusable: str = ""
    form: Form = ORIGINAL


def main() -> None:
    """Read the job, limit this process, inspect, print the verdict, and leave without running the model's exit code."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    verdicts = keep_stdout_for_the_answer()
    limit(job.wall_s, job.memory_bytes)
    verdicts.write(msgspec.json.encode(judge(job)) + b"\n")
    verdicts.flush()
    os._exit(0)


def judge(job: Job) -> Verdict:
    """Open the artifact, and say what it is or why it is unusable. Never quotes what a model's error says."""
    try:
        return inspect(job)
    except MemoryError:
        return Verdict(unusable=f"Loading the model takes more than the {job.memory_bytes >> 20} MiB allowed.")
    except ModuleNotFoundError as error:
        return Verdict(unusable=f"The model needs the module {error.name}, which is not installed here.")
    except GatewayError as error:
        return Verdict(unusable=str(error))
    except BaseException as error:  # noqa: BLE001  # a pickle may raise anything, SystemExit too
        return Verdict(unusable=f"The model cannot be loaded ({type(error).__name__}).")


def inspect(job: Job) -> Verdict:
    """Open, describe and try the artifact, and choose its form. Raises whatever the artifact raises."""
    artifact, kind = job.artifact, flavour(job.artifact.flavour)
    files = verified(Path(job.folder), job.digest, job.artifact_bytes)
    opened = kind.open(files)
    found = kind.describe(files, opened)
    if len({field.name for field in found.inputs}) < len(found.inputs):
        raise ModelUnusable("Two inputs of the model have the same name.")
    if artifact.task is not None and artifact.task is not found.task:
        raise ModelUnusable(f"The registry says {artifact.task}, but the model is {found.task}.")
    model = kind.model(card_of(artifact, job.digest, found), opened)
    found = replace(found, scored=_gives_probabilities(_try_out(model)))
    return Verdict(found, form=_form(model, opened))


def _form(model: Model, opened: Foreign) -> Form:
    """Choose the form, and leave a compiled one in this process's folder."""
    if not isinstance(model, SklearnModel):
        return Form(why="The original runs: only scikit-learn's estimators are compiled.")
    form, content = choose(model, opened)
    if content:
        Path(COMPILED_FILE).write_bytes(content)
    return form


def card_of(artifact: Artifact, digest: str, found: Description, form: Form = ORIGINAL) -> ModelCard:
    """Put together what the registry says of a model and what opening it showed."""
    return ModelCard(
        name=artifact.name,
        version=artifact.version,
        uri=artifact.uri,
        digest=digest,
        flavour=artifact.flavour,
        path=f"{digest}/artifact",
        inputs=found.inputs,
        task=found.task,
        classes=found.classes,
        feature_service=artifact.feature_service,
        form=form,
        scored=found.scored,
        outputs=found.outputs,
    )


def _try_out(model: Model) -> Output | None:
    """A model must answer its own example; failing at a row that was made up (None) proves nothing."""
    row, own = example_row(model.card.inputs)
    try:
        return model.predict([row])[0]
    except ModelFailed as error:
        if own:
            raise ModelUnusable(f"The model fails at its own example ({error.kind}).") from error
        return None


def _gives_probabilities(answer: Output | None) -> bool:
    """Whether an answer carries probabilities; without one to look at it is taken to."""
    return answer is None or answer.score is not None or answer.scores is not None


if __name__ == "__main__":
    main()

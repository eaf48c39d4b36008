"""An Airflow DAG that trains a model again: drift check -> export -> train -> register -> alias -> tell the gateway.

The gateway asks for a run through Airflow's REST API (``retraining.target.airflow``); its order comes as the run's
``conf``, and the drift check lets it pass: the gateway saw the cause. A schedule or a person may start a run too; then
the check asks the gateway, and without data drift everything behind it is skipped (``{"force": true}`` trains anyway).

What it needs (see ``docs/how-to/retrain-with-airflow.md``):

- the connection ``gateway``: host, port and schema of the control plane; as password an API key with ``read``, and with
  ``operate`` where the order has a callback;
- the variable ``gateway_retraining``, JSON: the fields of :class:`Setup`.

Commands run in the gateway's environment, not in Airflow's, with the order in ``RETRAINING_...`` variables, as a
command that the gateway runs itself. A task may be tried again: what is exported, registered or pointed at already
changes nothing.
"""

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from airflow.sdk import DAG, Connection, Param, Variable, get_current_context, task

RELEASE = Path(__file__).resolve().parents[1] / "ci" / "release_model.py"
PATIENCE_S = 60.0
_CHECK = "drift_check"


@dataclass(frozen=True)
class Setup:
    """Where things are. ``python`` can import the gateway and MLflow; ``folder`` is where commands run.

    ``train`` is the command that trains: it reads ``RETRAINING_EXPORT`` and prints the model's MLflow URI as its last
    line. ``release`` is the path of ``deploy/ci/release_model.py``. ``tracking`` is MLflow's address.
    """

    deployment: str
    train: tuple[str, ...]
    export: str
    tracking: str
    model: str = ""
    alias: str = "challenger"
    python: str = "python"
    folder: str = "."
    config: str = "gateway.yaml"
    release: str = str(RELEASE)

    @property
    def registered(self) -> str:
        """The registered model's name."""
        return self.model or self.deployment


@dataclass(frozen=True)
class Order:
    """What is to be done, as the gateway says it."""

    run_id: str
    deployment: str
    trigger: str = "hand"
    cause: str = ""
    attempt: int = 1
    export: str = ""
    callback: str = ""

    def environment(self) -> dict[str, str]:
        """The same for a command."""
        return {f"RETRAINING_{name.upper()}": str(value) for name, value in vars(self).items()}


def setup() -> Setup:
    """Read the variable; a field that is not known is an error."""
    said: dict[str, Any] = Variable.get("gateway_retraining", deserialize_json=True)
    return Setup(**{**said, "train": tuple(said["train"])})


def order() -> Order | None:
    """The gateway's order for this run, None where somebody else started it."""
    conf = _context()["dag_run"].conf or {}
    known = {name: conf[name] for name in Order.__dataclass_fields__ if name in conf}
    return Order(**known) if "run_id" in known else None


def drift_check() -> dict[str, Any] | None:
    """Return the order, or None where there is no reason to train."""
    given, context, said = order(), _context(), setup()
    if given is not None:
        print(f"{given.run_id}: the gateway asks for it ({given.trigger}: {given.cause})")
        return vars(given)
    found = ask("GET", f"/admin/deployments/{said.deployment}/drift")
    alarms = [one["alarm"]["sentence"] for watch in found["watches"] for one in watch["findings"] if one["alarm"]]
    print(f"{said.deployment}: {found['cause']}; {'; '.join(alarms) or 'no alarm stands'}")
    if found["cause"] != "data" and not context["params"]["force"]:
        return None
    cause = alarms[0] if alarms else "somebody wants it"
    return vars(Order(_plain(str(context["run_id"])), said.deployment, "airflow", cause))


def export(given: dict[str, Any]) -> str:
    """Write the joined log as Parquet, unless the gateway has done so; return where it lies."""
    told, said = Order(**given), setup()
    if told.export:
        print(f"the gateway exported to {told.export}")
        return told.export
    command = ("-m", "gateway", "export", said.export, "--deployment", told.deployment, "--config", said.config)
    run(said, told, (said.python, *command))
    return said.export


def train(given: dict[str, Any], lake: str) -> str:
    """Run the command that trains; return what it printed last, the model's URI."""
    said = setup()
    return run(said, replace(Order(**given), export=lake), said.train)


def register(given: dict[str, Any], model: str) -> str:
    """Register the model, once however often it is said; return its version."""
    told, said = Order(**given), setup()
    words = ("register", "--name", said.registered, "--model", model, "--commit", told.run_id)
    return run(said, told, (said.python, said.release, *words))


def alias(given: dict[str, Any], version: str) -> str:
    """Point the alias at the version: where the deployment follows aliases, its rollout begins."""
    told, said = Order(**given), setup()
    words = ("alias", "--name", said.registered, "--version", version, "--alias", said.alias)
    return run(said, told, (said.python, said.release, *words))


def tell_success(given: dict[str, Any], moved: str) -> None:
    """Say to the gateway that the run is over."""
    tell(Order(**given), "succeeded", moved)


def tell_failure() -> None:
    """Say to the gateway that a step failed."""
    told = order()
    if told is not None:
        tell(told, "failed", f"a step of {_context()['run_id']} failed; Airflow's log says which")


def tell(told: Order, result: str, said: str) -> None:
    """Answer the callback, where the order has one."""
    if told.callback:
        ask("POST", told.callback, {"result": result, "said": said[:500]})


def run(said: Setup, told: Order, command: tuple[str, ...]) -> str:
    """Run a command in the gateway's environment, print what it prints, and return its last line."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW", "PYTHON"))}
    environment = {**ours, "MLFLOW_TRACKING_URI": said.tracking, **told.environment()}
    lines = [""]
    with subprocess.Popen(  # noqa: S603 - what whoever set this up declared, without a shell
        command, stdout=subprocess.PIPE, text=True, cwd=said.folder, env=environment
    ) as child:
        for line in child.stdout or ():
            print(line, end="")
            lines.append(line.strip())
    if child.returncode:
        raise RuntimeError(f"{command[0]} ended with exit code {child.returncode}: {lines[-1]}")
    return next((line for line in reversed(lines) if line), "")


def ask(method: str, place: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - whatever it answers, as JSON
    """Ask the control plane; ``place`` is a path there, or the URL that an order gave. Raises for anything but 2xx.

    The key goes to the connection's own address only: whoever may start a run could name another one.
    """
    known = Connection.get("gateway")
    host = known.host or "127.0.0.1"
    named = host if "://" in host else f"{known.schema or 'http'}://{host}"
    base = f"{named}:{known.port or 8001}"
    url = place if "://" in place else f"{base}{place}"
    ours = known.password and url.startswith(f"{base}/")
    headers = {"Authorization": f"Bearer {known.password}"} if ours else {}
    answer = httpx.request(method, url, json=body, headers=headers, timeout=PATIENCE_S)
    answer.raise_for_status()
    return json.loads(answer.content)


def _context() -> Any:  # noqa: ANN401 - Airflow's own
    return get_current_context()


def _plain(run_id: str) -> str:
    """Airflow's run id as one that names no folder: ``manual__2026-11-30T17:50`` has colons."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in run_id)


with DAG(
    "gateway_retraining",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={"force": Param(False, type="boolean", description="Train although no data drift stands.")},
    default_args={"retries": 0},
    tags=["gateway"],
    doc_md=__doc__,
) as dag:
    asked = task.short_circuit(drift_check, task_id=_CHECK)()
    lake = task(export)(asked)
    trained = task(train)(asked, lake)
    version = task(register)(asked, trained)
    moved = task(alias)(asked, version)
    succeeded = task(tell_success)(asked, moved)
    failed = task(tell_failure, trigger_rule="one_failed")()
    [asked, lake, trained, version, moved] >> failed

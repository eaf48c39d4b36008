"""Servers that train, over real HTTP: each is told exactly as its own API wants it, and a refusal is a failure.

The shapes are those of Airflow's stable REST API (v1 and v2, "Trigger a new DAG run"), GitHub's "Create a workflow
dispatch event" and GitLab's "Trigger a pipeline with a token".
"""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.adapters.retraining.webhook import WebhookTarget
from gateway.core.errors import TargetFailed
from gateway.core.retraining.terms import Target, TargetKind
from gateway.ports import Order, Taken

ORDER = Order("drift-1a2b", "flights", "drift", "delay moved up", 1, "s3://lake", "http://gateway.example/end")
INPUTS = {name: str(value) for name, value in asdict(ORDER).items()}
SECRET = "s3cr3t"


@dataclass
class Trainer:
    """A server that keeps what it was asked, and answers as it was told to."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    kept = Trainer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, said = kept.answers.pop(0) if kept.answers else (200, {})
            raw = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_TOKEN", SECRET)


def airflow(url: str, **fields: Any) -> Target:
    return Target(TargetKind.AIRFLOW, url=url, place="retrain flights", secret="TRAINER_TOKEN", **fields)


def test_any_server_is_posted_the_order_as_json(trainer: Trainer) -> None:
    trainer.answers = [(202, {"link": "http://trainer.example/7"})]
    target = Target(TargetKind.WEBHOOK, url=f"{trainer.url}/train", secret="TRAINER_TOKEN")
    assert WebhookTarget(target).call(ORDER) == Taken(False, "webhook took it", "http://trainer.example/7")
    [(method, path, headers, body)] = trainer.asked
    assert (method, path, headers["content-type"]) == ("POST", "/train", "application/json")
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(body) == asdict(ORDER)


def test_airflow_3_is_asked_for_a_dag_run_of_the_runs_id(trainer: Trainer) -> None:
    taken = WebhookTarget(airflow(f"{trainer.url}/api/v2")).call(ORDER)
    assert taken == Taken(False, "airflow took it", f"{trainer.url}/dags/retrain%20flights/runs/drift-1a2b")
    [(method, path, headers, body)] = trainer.asked
    assert (method, path) == ("POST", "/api/v2/dags/retrain%20flights/dagRuns")
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"dag_run_id": "drift-1a2b", "logical_date": None, "conf": asdict(ORDER)}


def test_airflow_3_gives_a_token_for_a_user_and_a_password(trainer: Trainer) -> None:
    trainer.answers = [(201, {"access_token": "jwt"}), (200, {"dag_run_id": "drift-1a2b"})]
    WebhookTarget(airflow(f"{trainer.url}/api/v2", user="gateway")).call(ORDER)
    (_, login, _, asked), (_, path, headers, _) = trainer.asked
    assert (login, json.loads(asked)) == ("/auth/token", {"username": "gateway", "password": SECRET})
    assert (path, headers["authorization"]) == ("/api/v2/dags/retrain%20flights/dagRuns", "Bearer jwt")


def test_airflow_2_takes_user_and_password_and_no_logical_date(trainer: Trainer) -> None:
    WebhookTarget(airflow(f"{trainer.url}/api/v1", user="gateway")).call(ORDER)
    [(_, path, headers, body)] = trainer.asked
    assert path == "/api/v1/dags/retrain%20flights/dagRuns"
    assert headers["authorization"] == "Basic " + b64encode(f"gateway:{SECRET}".encode()).decode()
    assert json.loads(body) == {"dag_run_id": "drift-1a2b", "conf": asdict(ORDER)}


def test_a_dag_run_that_is_there_already_was_taken(trainer: Trainer) -> None:
    trainer.answers = [(409, {"detail": "DAGRun with dag_run_id drift-1a2b already exists"})]
    assert not WebhookTarget(airflow(f"{trainer.url}/api/v2")).call(ORDER).ended


def test_github_is_asked_to_dispatch_a_workflow(trainer: Trainer) -> None:
    trainer.answers = [(204, None)]
    about: dict[str, Any] = {
        "place": "octo/flights",
        "workflow": "retrain.yml",
        "ref": "main",
        "secret": "TRAINER_TOKEN",
    }
    taken = WebhookTarget(Target(TargetKind.GITHUB, url=trainer.url, calls_back=False, **about)).call(ORDER)
    assert taken == Taken(True, "github took it")
    [(method, path, headers, body)] = trainer.asked
    assert (method, path) == ("POST", "/repos/octo/flights/actions/workflows/retrain.yml/dispatches")
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"] == "gateway"
    assert json.loads(body) == {"ref": "main", "inputs": INPUTS}
    assert len(INPUTS) <= 10


def test_gitlab_is_asked_for_a_pipeline_with_variables(trainer: Trainer) -> None:
    trainer.answers = [(201, {"id": 8, "web_url": "https://gitlab.example/octo/flights/-/pipelines/8"})]
    target = Target(
        TargetKind.GITLAB, url=f"{trainer.url}/api/v4", place="octo/flights", ref="main", secret="TRAINER_TOKEN"
    )
    assert WebhookTarget(target).call(ORDER).link == "https://gitlab.example/octo/flights/-/pipelines/8"
    [(method, path, headers, body)] = trainer.asked
    assert (method, path) == ("POST", "/api/v4/projects/octo%2Fflights/trigger/pipeline")
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in headers
    assert parse_qs(body.decode()) == {
        "token": [SECRET],
        "ref": ["main"],
        **{f"variables[RETRAINING_{name.upper()}]": [value] for name, value in INPUTS.items()},
    }


@pytest.mark.parametrize("status", [302, 401, 404, 422, 500])
@pytest.mark.parametrize("kind", [TargetKind.WEBHOOK, TargetKind.AIRFLOW, TargetKind.GITHUB, TargetKind.GITLAB])
def test_a_refusal_is_a_failure_that_says_the_status_and_no_secret(
    trainer: Trainer, kind: TargetKind, status: int
) -> None:
    trainer.answers = [(status, {})]
    with pytest.raises(TargetFailed, match=f"{kind.value} did not take it: It answers {status}") as error:
        WebhookTarget(Target(kind, url=trainer.url, place="a/b", secret="TRAINER_TOKEN")).call(ORDER)
    assert SECRET not in str(error.value)


def test_a_server_that_is_not_there_is_a_failure(trainer: Trainer) -> None:
    with pytest.raises(TargetFailed, match="cannot be reached"):
        WebhookTarget(Target(TargetKind.WEBHOOK, url="http://127.0.0.1:1")).call(ORDER)


def test_a_login_that_gives_no_token_is_a_failure(trainer: Trainer) -> None:
    trainer.answers = [(200, {"no": "token"})]
    with pytest.raises(TargetFailed, match="gave no token"):
        WebhookTarget(airflow(f"{trainer.url}/api/v2", user="gateway")).call(ORDER)


def test_a_secret_that_the_environment_lacks_is_a_failure_that_names_it(trainer: Trainer) -> None:
    with pytest.raises(TargetFailed, match="NO_SUCH_VARIABLE"):
        WebhookTarget(Target(TargetKind.WEBHOOK, url=trainer.url, secret="NO_SUCH_VARIABLE")).call(ORDER)
    assert not trainer.asked


def test_metadata_services_are_never_called() -> None:
    with pytest.raises(TargetFailed, match="not called from here"):
        WebhookTarget(Target(TargetKind.WEBHOOK, url="http://169.254.169.254/latest")).call(ORDER)

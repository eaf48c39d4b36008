"""The shipped policies in OPA's own engine: it gives the sentences that ours gives, and our client believes it.

OPA's server is no package, but its engine is one, for a Python newer than this; it is C below, so any will do. ``make
test-opa`` puts it into a folder of its own; without it these tests are skipped.
"""

import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.policy import OpaServer, RegoFolder
from tests.edge.test_governance import SHIPPED, asks

HERE = Path(os.environ.get("GATEWAY_OPA", Path(__file__).parents[2] / ".opa"))
"""The folder that the engine is installed in."""
NONE = "no engine of OPA's here: `make test-opa` installs it, or name its folder in GATEWAY_OPA"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """OPA's data API for one document, answered by OPA's engine with the shipped policies: the document's address."""
    if not (HERE / "opa_bindings").is_dir():
        pytest.skip(NONE)
    sys.path.append(str(HERE))
    try:
        engine = import_module("opa_bindings.engine").OpaEngine()
    finally:
        sys.path.remove(str(HERE))
    engine.add_policy("gateway.rego", (SHIPPED / "gateway.rego").read_text())
    engine.add_data(json.loads((SHIPPED / "data.json").read_text()))

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.removeprefix("/v1/data/").replace("/", ".")
            body = json.dumps({"result": engine.eval_document(path, asked["input"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/v1/data/gateway/deny"
        listening.shutdown()
    engine.close()


def questions() -> Iterator[dict[str, Any]]:
    """What a rollout may ask, in figures that are whole and that are not, with and without approvals."""
    dice = random.Random(13)
    approvals: list[list[dict[str, Any]]] = [
        [],
        [{"by": "ann", "at": 0.0, "reason": ""}],
        [{"by": "bob", "at": 0.0, "reason": "x"}],
    ]
    for _ in range(80):
        yield asks(
            action=dice.choice(["start", "promote"]),
            features={"names": dice.choice([[], ["distance"], ["gender"], ["gender", "health_status"]])},
            data={
                "age_s": dice.choice([None, 1.0, 86_400.0, 90_000.0, 90_000.5]),
                "degraded": dice.choice([0, 0.051, 0.2]),
            },
            drift={"score": dice.choice([None, 0.1, 0.3, 2.0])},
            approvals=dice.choice(approvals),
        )


def test_opas_engine_says_of_every_question_what_ours_says(server: str) -> None:
    theirs, ours = OpaServer(server), RegoFolder(SHIPPED)
    refused = 0
    for question in questions():
        ruling = ours.rule(question)
        assert sorted(theirs.rule(question).reasons) == sorted(ruling.reasons), question
        refused += not ruling.allowed
    assert 20 < refused < 80

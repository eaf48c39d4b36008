"""The client against real gateways: also one that is killed, and a network that loses answers."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from gateway.client import AsyncClient, Client, Instance, Outcome, Patience, Receipt, Refused
from tests.e2e.harness import Gateway, simple_config, train

FOR_AGES = Patience(within_s=30.0)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("client")
    train(folder / "models", "1")
    served = Gateway(folder, simple_config(folder, data_port=free_port()))
    try:
        yield served.start()
    finally:
        served.close()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(str(gateway.data.base_url), patience=FOR_AGES) as made:
        yield made


@pytest.fixture
async def asynchronous(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(str(gateway.data.base_url), patience=FOR_AGES) as made:
        yield made


class Forgetful(httpx.HTTPTransport):
    """A network on which every request arrives, and every other answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.handled = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        self.handled += 1
        if self.handled % 2:
            answer.close()
            raise httpx.ReadError("the answer was lost")
        return answer


def test_an_application_asks_and_tells(client: Client) -> None:
    answer = client.predict({"age": 40.0, "visits": 3.0}, deployment="churn", explain=True)
    assert (answer.prediction, answer.variant, answer.logged) == (1, "stable", True)
    assert answer.explain is not None
    assert client.feedback(Outcome(answer.prediction_id, 1, source="test")) == Receipt(1)


async def test_so_does_an_asynchronous_one(asynchronous: AsyncClient) -> None:
    young, old = await asynchronous.predict_many(
        [Instance({"age": 10.0, "visits": 3.0}), Instance({"age": 50.0, "visits": 3.0})]
    )
    assert (young.prediction, old.prediction) == (0, 1)
    await asynchronous.tell(young.prediction_id, 0)
    assert await asynchronous.flush() == Receipt(1)


def test_what_does_not_fit_is_refused_with_its_place(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.predict({"age": "forty"})
    assert (refused.value.status, refused.value.type) == (422, "invalid-body")
    assert "/features/age" in {place.pointer for place in refused.value.places}


def test_a_malformed_and_a_forged_outcome_do_not_keep_the_others_from_being_told(client: Client) -> None:
    good = client.predict({"age": 40.0, "visits": 3.0}).prediction_id
    receipt = client.feedback(Outcome("forged", 1), Outcome(good, float("nan")), Outcome(good, 1))
    assert receipt.accepted == 1
    assert {each.outcome.prediction_id for each in receipt.rejected} == {"forged", good}


def test_lost_answers_leave_one_prediction_and_one_outcome_each(gateway: Gateway) -> None:
    before = gateway.ledger()
    with Client(str(gateway.data.base_url), patience=FOR_AGES, transport=Forgetful()) as client:
        asked = [client.predict({"age": 40.0, "visits": 3.0}, request_id=f"lost-{n}") for n in range(20)]
        again = [client.predict({"age": 40.0, "visits": 3.0}, request_id=f"lost-{n}") for n in range(20)]
        assert [each.prediction_id for each in again] == [each.prediction_id for each in asked]
        for each in asked:
            client.tell(each.prediction_id, 1)
    counts = grown(before, gateway.ledger())
    assert (counts["stored"], counts["joined"]) == (20, 20)
    assert counts["duplicates"] == 60
    assert counts["corrected"] == 0


def test_a_correction_made_while_an_answer_was_lost_is_the_one_that_counts(gateway: Gateway, client: Client) -> None:
    answer = client.predict({"age": 40.0, "visits": 3.0})
    with Client(str(gateway.data.base_url), patience=FOR_AGES, transport=Forgetful()) as forgetful:
        forgetful.tell(answer.prediction_id, 0)
        client.feedback(Outcome(answer.prediction_id, 1))
        forgetful.flush()
    gateway.ledger()
    seen = gateway.control.get(f"/admin/predictions/{answer.prediction_id}").json()["outcomes"]
    assert max(seen, key=lambda each: each["observed_at"])["value"] == 1


def test_nothing_told_is_lost_or_counted_twice_when_the_gateway_is_killed_and_comes_back(gateway: Gateway) -> None:
    before = gateway.ledger()
    with (
        Client(str(gateway.data.base_url), patience=FOR_AGES, batch=10, linger_s=60.0) as client,
        ThreadPoolExecutor(1) as aside,
    ):
        asked = client.predict_many([Instance({"age": 40.0, "visits": 3.0})] * 35)
        for each in asked[:19]:
            client.tell(each.prediction_id, 1)
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait()
        telling = aside.submit(client.tell, asked[19].prediction_id, 1)  # the batch is full: it asks who is not there
        gateway.start()
        telling.result()
        for each in asked[20:]:
            client.tell(each.prediction_id, 1)
        assert client.flush().accepted == 35
    counts = grown(before, gateway.ledger())
    assert (counts["stored"], counts["joined"]) == (35, 35)


def test_a_key_opens_a_gateway_that_asks_for_one(tmp_path: Path) -> None:
    train(tmp_path / "models", "1")
    locked = Gateway(tmp_path, simple_config(tmp_path, keys_file=str(tmp_path / "keys.json")))
    (tmp_path / "gateway.yaml").write_text(f"keys_file: {tmp_path}/keys.json")
    words = [
        "keys",
        "new",
        "shop",
        "--scope",
        "predict",
        "--scope",
        "feedback",
        "--config",
        str(tmp_path / "gateway.yaml"),
    ]
    made = subprocess.run([sys.executable, "-m", "gateway", *words], capture_output=True, text=True, check=True)
    try:
        locked.start()
        with Client(str(locked.data.base_url), key=made.stdout.strip()) as client:
            answer = client.predict({"age": 40.0, "visits": 3.0})
            assert client.feedback(Outcome(answer.prediction_id, 1)) == Receipt(1)
        with pytest.raises(Refused, match="401"), Client(str(locked.data.base_url), key="wrong") as client:
            client.predict({"age": 40.0, "visits": 3.0})
    finally:
        locked.close()


def test_a_gateway_that_is_away_for_good_is_told_of_in_time() -> None:
    with (
        pytest.raises(Exception, match="cannot be reached: ConnectError"),
        Client(f"http://127.0.0.1:{free_port()}", patience=Patience(within_s=0.3)) as client,
    ):
        client.predict({})


def test_importing_the_client_imports_none_of_the_server() -> None:
    said = "import sys, gateway.client; print(*sorted(m for m in sys.modules if m.startswith('gateway')), *sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("gateway.")}
    assert {name for name in ours if not name.startswith("gateway.client")} == set()
    assert {"fastapi", "pydantic", "numpy", "feast", "sklearn", "structlog"} & set(loaded) == set()


def grown(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, int]:
    """How much the books have grown, by state; ``duplicates`` are those of predictions."""
    states = {"predictions": ("stored", "duplicates"), "outcomes": ("joined", "corrected")}
    return {name: after[book][name] - before[book][name] for book, names in states.items() for name in names}

"""Back to any of the last stable versions in one call: how soon every worker answers with it, under load."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.contract import BODY, admin, deployment, house, in_force, start, state
from tests.e2e.harness import Gateway, until

NAME = "returned"
PROMISED_S = 0.25

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers; versions 1, 2 and 3 of the model stand in the window, version 4 is stable."""
    gateway = house(tmp_path_factory.mktemp("gw"), {NAME: deployment()})
    try:
        for version in ("2", "3", "4"):
            start(gateway, NAME, version, "all")
            assert admin(gateway, NAME, "promote").status_code == 200
        assert [each["model_version"] for each in state(gateway, NAME)["previous"]] == ["3", "2", "1"]
        until(lambda: in_force(gateway, NAME))
        yield gateway
    finally:
        gateway.close()


@dataclass
class Caller:
    """One connection that asks all the time, and remembers when each version was asked for and given."""

    client: httpx.Client
    worker: int
    seen: list[tuple[float, str]] = field(default_factory=list)
    failed: list[object] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            asked = time.monotonic()
            answer = self.client.post(f"/predict/{NAME}", json=BODY)
            if answer.status_code != 200:
                self.failed.append(answer.status_code)
            else:
                self.seen.append((asked, answer.json()["model_version"]))
            stop.wait(0.002)


def callers(gateway: Gateway) -> Iterator[Caller]:
    """A connection to each worker: which one has it is read off the kernel's tables."""
    found: dict[int, Caller] = {}
    workers = gateway.children("worker")
    while len(found) < len(workers):
        client = httpx.Client(base_url=gateway.data.base_url, timeout=10.0)
        with client.stream("GET", "/livez") as response:
            stream = response.extensions["network_stream"]
            port = stream.get_extra_info("client_addr")[1]
            response.read()
        owner = next((pid for pid in workers if port in peers_of(pid)), None)
        if owner is None or owner in found:
            client.close()
        else:
            found[owner] = Caller(client, owner)
    yield from found.values()


def peers_of(pid: int) -> set[int]:
    """Ports at the other end of a process's TCP connections."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(entry.readlink().name.removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:  # closed meanwhile
            continue
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(line[2].rpartition(":")[2], 16) for line in lines if line[9] in inodes}


def moved_after(caller: Caller, began: float, version: str) -> float:
    """Seconds from the call to the last question that was still answered by another version."""
    late = [asked for asked, seen in caller.seen if asked >= began and seen != version]
    return max(late, default=began) - began


@pytest.mark.parametrize(
    ("to", "left"), [("1", ["3", "2"]), ("3", ["2"]), (None, [])], ids=["oldest", "named", "latest"]
)
def test_one_call_moves_every_worker_to_a_former_stable_within_a_quarter_of_a_second(
    gateway: Gateway, to: str | None, left: list[str]
) -> None:
    asking, stop = list(callers(gateway)), threading.Event()
    assert len(asking) == 2
    threads = [threading.Thread(target=caller.run, args=(stop,)) for caller in asking]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(len(caller.seen) > 20 for caller in asking))
        began = time.monotonic()
        body = {"reason": "complaints"} | ({} if to is None else {"to": to})
        assert admin(gateway, NAME, "rollback", body).status_code == 200
        version = to or "2"
        until(lambda: all(caller.seen[-1][1] == version for caller in asking))
        asked = [len(caller.seen) for caller in asking]
        until(lambda: all(len(caller.seen) > n + 50 for caller, n in zip(asking, asked, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    moved = [moved_after(caller, began, version) for caller in asking]
    sys.stdout.write(f"moved after {[round(seconds * 1e3) for seconds in moved]} ms\n")  # with -rP, for people
    assert [caller.failed for caller in asking] == [[], []]
    assert max(moved) < PROMISED_S
    assert [each["model_version"] for each in state(gateway, NAME)["previous"]] == left
    for caller in asking:
        caller.client.close()

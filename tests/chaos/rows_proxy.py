"""Rows behind a load balancer: HAProxy from Debian, which sends no POST twice."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import httpx

from tests.chaos.clients import Seen, audit, load, train_coded
from tests.chaos.report import NotRun, Outcome, Row, Setting
from tests.chaos.rows_one_host import PLANS
from tests.e2e.harness import Gateway, simple_config, until
from tests.postgres_house import Postgres

_CONFIG = """
global
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  timeout check 2s
  option redispatch
  retries 3
  retry-on conn-failure
listen gateways
  bind 127.0.0.1:{port}
  option httpchk GET /readyz
  default-server check inter 100ms fall 1 rise 1
  server one 127.0.0.1:{one}
  server other 127.0.0.1:{other}
"""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


def _haproxy() -> str:
    """Find HAProxy, or install it where this is root's own Debian. Raises NotRun."""
    found = shutil.which("haproxy")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "haproxy"], capture_output=True, check=False)
        found = shutil.which("haproxy")
    if found is None:
        raise NotRun("haproxy is not installed, and cannot be here")
    return found


@contextmanager
def _balanced(setting: Setting) -> Iterator[tuple[tuple[Gateway, Gateway], str]]:
    """Two gateways around one PostgreSQL, and the address of the balancer before them."""
    program = _haproxy()
    train_coded(setting.folder / "models")
    store = Postgres.make()
    ports = _free_port(), _free_port(), _free_port()
    deployment = {"plans": PLANS, "guardrails": ["error_rate"]}
    gateways = tuple(
        Gateway(
            setting.folder / name,
            simple_config(setting.folder, workers=1, store=store.url, data_port=port, deployment=deployment),
        )
        for name, port in zip(("one", "other"), ports[:2], strict=True)
    )
    config = setting.folder / "haproxy.cfg"
    config.write_text(_CONFIG.format(port=ports[2], one=ports[0], other=ports[1]))
    proxy = None
    try:
        store.start()
        for gateway in gateways:
            gateway.start(ready=False)
        for gateway in gateways:
            until(gateway.is_ready, 60.0)
        with (setting.folder / "haproxy.log").open("wb") as log:
            proxy = subprocess.Popen([program, "-f", str(config), "-db"], stdout=log, stderr=log)
        until(lambda: _listens(ports[2]), 10.0)
        time.sleep(0.5)
        yield (gateways[0], gateways[1]), f"http://127.0.0.1:{ports[2]}"
    finally:
        if proxy is not None:
            proxy.kill()
            proxy.wait()
        for gateway in gateways:
            gateway.close()
        store.remove()


def _listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def rolling(setting: Setting) -> Outcome:
    """A3: gateway after gateway is told to end and started again, under load; no caller notices."""
    outcome, seen, slowest = Outcome(what="gateways ended and started again"), Seen(), 0.0
    with _balanced(setting) as (gateways, address):
        through = _Through(address)
        with load([through], setting.pick(40, 200), seen, Random(setting.dice.random()), tell=0.3):  # type: ignore[list-item]
            time.sleep(2.0)
            for _ in range(setting.pick(1, 50)):
                for gateway in gateways:
                    began = time.monotonic()
                    outcome.exactly("exit code", gateway.stop(30.0), 0)
                    slowest = max(slowest, time.monotonic() - began)
                    gateway.start(ready=False)
                    until(gateway.is_ready, 60.0)
                    outcome.faults += 1
                    time.sleep(1.0)  # the balancer hears of it
        outcome.exactly("answers but 200", [status for _, status in seen.refused], [])
        outcome.exactly("resets", len(seen.failed), 0)
        outcome.exactly("outcomes not taken", seen.unsure, 0)
        outcome.at_most("the slowest exit", slowest, 10.0, " s")
        audit(gateways, seen, outcome)
    return outcome


class _Through:
    """What the callers know of the gateways: one address."""

    def __init__(self, address: str) -> None:

        self.data = httpx.Client(base_url=address)


ROWS = (Row("A3", "rolling restart behind HAProxy: no caller notices", rolling),)

"""Closed-loop load: wrk where it is (or can be had from Debian), else a generator in Python that says so.

Every request has its own entities and its own request id.
"""

import asyncio
import contextlib
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.serve.world import MERCHANTS, NAMES, USERS, names_of

_LUA = """
local prefix = os.getenv("SERVE_PREFIX") or ""
local n = 0
local thread = 0
function setup(t) t:set("id", thread); thread = thread + 1 end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  n = n + 1
  local user = (n * 7 + id * 911) % %USERS%
  return wrk.format(nil, nil, nil, %BODY%)
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %.3f %.3f %.3f\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
"""


@dataclass(frozen=True)
class Point:
    """What one subject did at one number of connections for a few seconds. Latencies in milliseconds."""

    rps: float
    p50: float
    p99: float
    p999: float
    errors: int
    cpu_us: float = 0.0
    """Processor time of the answering process per request, in microseconds: steady where the machine is shared."""


def install() -> str:
    """Say which generator is used: ``wrk``, installed from Debian if this is root, or ``python``."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=False, capture_output=True)
    return "wrk" if shutil.which("wrk") else "python"


def run(url: str, kind: str, connections: int, seconds: float, scratch: Path, number: int, pid: int) -> Point:
    """Load ``url`` with bodies of ``kind`` (``entities`` or ``features``); ``number`` makes the ids of this point."""
    before = _cpu_s(pid)
    point = _run(url, kind, connections, seconds, scratch, number)
    return replace(point, cpu_us=(_cpu_s(pid) - before) / max(1.0, point.rps * seconds) * 1e6)


def family(pid: int) -> list[int]:
    """A process and all that it has started and that still run."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def resident_mb(pid: int) -> float:
    """Resident memory of a process and all that it has started, in MB."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) / 1000 for line in lines if line.startswith("Rss:"))
    return total


def _cpu_s(pid: int) -> float:
    total = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _run(url: str, kind: str, connections: int, seconds: float, scratch: Path, number: int) -> Point:
    if install() == "python":
        return asyncio.run(_in_python(url, kind, connections, seconds, f"p{number}"))
    script = scratch / f"{kind}.lua"
    if not script.exists():
        script.write_text(_LUA.replace("%USERS%", str(USERS)).replace("%BODY%", _lua_body(kind)))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", str(script), "--timeout", "10s", url]
    said = subprocess.run(
        command, env={**os.environ, "SERVE_PREFIX": f"p{number}"}, capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\S+) (\S+) (\S+)", said)
    if found is None:
        raise RuntimeError(f"wrk said: {said}")
    requests, micros, errors = (int(found[n]) for n in (1, 2, 3))
    return Point(requests * 1e6 / micros, float(found[4]), float(found[5]), float(found[6]), errors)


def body(kind: str, n: int, prefix: str) -> str:
    """One body, as both generators send it."""
    if kind == "entities":
        user = n * 7 % USERS
        return f'{{"entities":{{"user_id":{user},"merchant_id":"m{user % MERCHANTS}"}},"request_id":"{prefix}-{n}"}}'
    return _text(kind, [f"{number:.3f}" for number in numbers(n, _width(kind))], f"{prefix}-{n}")


def numbers(n: int, width: int) -> list[float]:
    """The features of body ``n``."""
    return [((n + place) % 1000) / 500 - 1 for place in range(width)]


def _width(kind: str) -> int:
    return int(kind.partition("-")[2] or len(NAMES))


def _text(kind: str, written: Sequence[str], request_id: str) -> str:
    """A body with features: the gateway's own, or as another protocol has it."""
    row = ",".join(written)
    if kind == "v2":
        return f'{{"inputs":[{{"name":"rows","shape":[1,{len(written)}],"datatype":"FP64","data":[{row}]}}]}}'
    if kind == "invocations":
        return f'{{"inputs":[[{row}]]}}'
    values = ",".join(f'"{name}":{number}' for name, number in zip(names_of(_width(kind)), written, strict=True))
    return f'{{"features":{{{values}}},"request_id":"{request_id}"}}'


def _lua_body(kind: str) -> str:
    if kind == "entities":
        text = '{"entities":{"user_id":%d,"merchant_id":"m%d"},"request_id":"%s-%d-%d"}'
        return f"string.format('{text}', user, user % {MERCHANTS}, prefix, id, n)"
    width = _width(kind)
    text = _text(kind, ["%.3f"] * width, "%s-%d-%d")
    arguments = [f"((n + {place}) % 1000) / 500 - 1" for place in range(width)]
    if "%s" in text:
        arguments += ["prefix", "id", "n"]
    return f"string.format('{text}', {', '.join(arguments)})"


async def _in_python(url: str, kind: str, connections: int, seconds: float, prefix: str) -> Point:
    """Keep ``connections`` busy by hand-written HTTP over asyncio streams."""
    host, port, path = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", url).groups()  # type: ignore[union-attr]
    until, taken, errors = time.perf_counter() + seconds, list[float](), 0
    asked = iter(range(10**9))

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < until:
            content = body(kind, next(asked), prefix)
            began = time.perf_counter()
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\n\r\n{content}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            taken.append(time.perf_counter() - began)
            errors += b" 200 " not in head[:16]
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    taken.sort()
    p50, p99, p999 = (taken[int(len(taken) * share)] * 1000 for share in (0.5, 0.99, 0.999))
    return Point(len(taken) / seconds, p50, p99, p999, errors)

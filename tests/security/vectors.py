"""``python -m tests.security.vectors``: every way out that must be shut, tried where all packets are counted.

Runs in a network of its own (``unshare -rn``), whose every route leads to an interface that leads nowhere. A raw socket
there sees each packet that leaves, also those of a library in C. Its last line is ``{"control": N, "vectors": N,
"packets": [...]}``; ``control`` counts the packets of a plain connection to the metadata service, which nobody stops.
"""

import json
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.adapters.alerts import AppriseAnnouncer
from gateway.adapters.clock import open_clock
from gateway.adapters.models import open_model_store
from gateway.adapters.outbound import fetch
from gateway.core.alerts import Alert, Kind
from gateway.core.errors import GatewayError
from tests.security.test_s11_outbound import ALERTED, NEVER, PLACES

_NETWORK = """
ip link set lo up
ip link add out type veth peer name nowhere
ip link set nowhere up
ip link set out arp off up
ip addr add 203.0.113.2/24 dev out
ip route add default dev out
ip -6 addr add 2001:db8::2/64 dev out nodad
ip -6 route add default dev out
"""
_ALL, _IPV4, _ARP, _IPV6 = 3, 0x0800, 0x0806, 0x86DD


def main() -> None:
    """Make the network, show that a packet would be seen, and try everything."""
    subprocess.run(["sh", "-ec", _NETWORK], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as wire:
        wire.bind(("out", 0))
        wire.settimeout(0.2)
        _ = seen(wire)
        with suppress(OSError), socket.create_connection(("169.254.169.254", 80), 0.2):
            pass
        control = len(seen(wire))
        tried = _try_all()
        sys.stdout.write(json.dumps({"control": control, "vectors": tried, "packets": seen(wire)}))


def seen(wire: socket.socket) -> list[str]:
    """The addresses that packets have gone to since the last look, those of the interface's own upkeep aside."""
    found = []
    with suppress(TimeoutError):
        while True:
            frame = wire.recv(65_535)
            kind = int.from_bytes(frame[12:14], "big")
            if kind == _IPV4:
                found.append(socket.inet_ntop(socket.AF_INET, frame[30:34]))
            elif kind == _IPV6 and frame[38:40] != b"\xff\x02":  # neighbours and routers are asked for at ff02::
                found.append(socket.inet_ntop(socket.AF_INET6, frame[38:54]))
            elif kind == _ARP:
                found.append("asked for " + socket.inet_ntop(socket.AF_INET, frame[38:42]))
    return found


def _try_all() -> int:
    for url in NEVER.values():
        with suppress(GatewayError):
            fetch(url, patience_s=0.3)
    with TemporaryDirectory() as folder:
        store = open_model_store("joblib:models", Path(folder))
        for uri in PLACES:
            with suppress(GatewayError):
                store.resolve(uri)
    for url in ALERTED:
        way = AppriseAnnouncer([url], open_clock("wall"), group_s=0.0, wait_s=0.01)
        way.announce(Alert(Kind.DRIFT, "flights", "dep_delay", "it has shifted"))
        way.close(60.0)
    return len(NEVER) + len(PLACES) + len(ALERTED)


if __name__ == "__main__":
    main()

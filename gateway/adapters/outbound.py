"""Calls to other people's servers, as the agent makes them: guarded, bounded, and never from a request's path.

The address that a name resolves to is checked and then connected to, in one step, so a name cannot point elsewhere
between the two (DNS rebinding). Redirects are not followed. Cloud metadata services and their like are never called.
"""

import ipaddress
import socket
import ssl
from collections.abc import Collection, Iterable, Mapping

import httpcore
from httpcore import SOCKET_OPTION

from gateway.core.errors import OutboundRefused

_PATIENCE_S = 5.0
_METADATA = frozenset({"100.100.100.200", "fd00:ec2::254", "192.0.0.192", "168.63.129.16"})
"""Metadata services that are not on link-local addresses."""
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def permitted(address: str, *, inside: bool) -> bool:
    """Whether an address may be called. ``inside`` permits private networks and this machine.

    >>> permitted("169.254.169.254", inside=True), permitted("10.0.0.7", inside=True)
    (False, True)
    >>> permitted("10.0.0.7", inside=False)
    False
    """
    found = _plain(ipaddress.ip_address(address))
    if found.is_link_local or found.is_multicast or found.is_unspecified or str(found) in _METADATA:
        return False
    if found.is_loopback or found.is_private:
        return inside
    return found.is_global


def fetch(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    most: int = 2**20,
    patience_s: float = _PATIENCE_S,
    inside: bool = True,
    taken: Collection[int] = (200,),
) -> bytes:
    """``GET`` (with a body: ``POST``, JSON unless ``headers`` say otherwise) and return the answer, ``most`` bytes.

    Raises OutboundRefused, also where the answer's status is not among those ``taken``.
    """
    if not url.startswith(("https://", "http://")):
        raise OutboundRefused("Only http and https URLs are called.")
    said = {"Accept": "application/json", **({"Content-Type": "application/json"} if body is not None else {})}
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), patience_s)
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=Guarded(inside=inside)) as pool,
            pool.stream(
                "GET" if body is None else "POST",
                url,
                headers=list({**said, **(headers or {})}.items()),
                content=body,
                extensions={"timeout": timeouts},
            ) as response,
        ):
            if response.status not in taken:
                raise OutboundRefused(f"It answers {response.status}, and redirects are not followed.")
            return _bounded(response, most)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise OutboundRefused(f"It cannot be reached ({error or type(error).__name__}).") from error
    except (httpcore.UnsupportedProtocol, UnicodeError, ValueError) as error:
        raise OutboundRefused("Its URL cannot be called.") from error


def _bounded(response: httpcore.Response, most: int) -> bytes:
    parts, size = list[bytes](), 0
    for part in response.iter_stream():
        size += len(part)
        if size > most:
            raise OutboundRefused(f"It answers more than {most} bytes.")
        parts.append(part)
    return b"".join(parts)


class Guarded(httpcore.SyncBackend):
    """Opens connections to permitted addresses only, whatever name led there."""

    def __init__(self, *, inside: bool) -> None:
        self._inside = inside

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check, and connect to what was checked. Raises ConnectError."""
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise httpcore.ConnectError("its name does not resolve") from error
        good = [address for address in found if permitted(address.partition("%")[0], inside=self._inside)]
        if not good:
            raise httpcore.ConnectError("it is at an address that is not called from here")
        return super().connect_tcp(good[0], port, timeout, local_address, socket_options)


def _plain(address: _Address) -> _Address:
    """The address inside another one: IPv4 as IPv6 writes it, by 6to4, by NAT64."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()

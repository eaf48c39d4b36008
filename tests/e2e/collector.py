"""A collector of traces: takes OTLP over HTTP as the real ones do, and keeps the spans for a test to look at."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Listens on a free loopback port while the context lasts."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.raw = b""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> "Collector":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, raw: bytes) -> None:
        """Keep what one request brought."""
        self.raw += raw
        request: Any = ExportTraceServiceRequest.FromString(raw)
        self.spans += [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]

    def trace(self, trace_id: str) -> dict[str, Any]:
        """The spans of one trace by name, the last of each."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}


def attributes(span: Any) -> dict[str, Any]:
    """What a span says, by name."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    return Handler

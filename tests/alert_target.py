"""A real HTTP target for alerts, as apprise's ``json://`` calls one."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Target:
    """Somebody's webhook. It refuses ``refusals`` calls with 503 first; all are sent on to ``sends_to``, if set."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.sends_to = ""
        self.heard: list[dict[str, Any]] = []
        self.came = threading.Semaphore(0)
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if target.sends_to and self.path != target.sends_to:
                    self.send_response(307)
                    self.send_header("Location", target.sends_to)
                    self.end_headers()
                    return
                refused = target.refusals > 0
                target.refusals -= 1
                if not refused:
                    target.heard.append(said)
                self.send_response(503 if refused else 200)
                self.end_headers()
                target.came.release()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_address[1]}/"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

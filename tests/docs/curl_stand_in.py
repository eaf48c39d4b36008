"""Stands in for curl when a test types what a page says: the same options, but any other option is an error.

A machine need not have curl, and the ports in the pages are not those of a test. Notes every request and its status.
``GATEWAY_STAND_IN`` holds the addresses to go to instead, ``from=to`` separated by spaces, and the file to write to.
"""

import argparse
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main() -> None:
    """Make one request as curl would."""
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-i", "--include", action="store_true")
    parser.add_argument("-f", "--fail", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data")
    parser.add_argument("url")
    asked = parser.parse_args()
    *moved, log = os.environ["GATEWAY_STAND_IN"].split(" ")
    url = _url(asked.url, moved)
    headers = dict(header.split(": ", 1) for header in asked.header)
    if asked.data is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/x-www-form-urlencoded"  # as curl does, whatever was meant
    body = None if asked.data is None else _data(asked.data).encode()
    method = asked.request or ("GET" if body is None else "POST")
    status, head, answer = _send(urllib.request.Request(url, body, headers, method=method))
    with Path(log).open("a", encoding="utf-8") as notes:
        notes.write(f"{status} {method} {asked.url}\n")
    if asked.include:
        sys.stdout.write(f"HTTP/1.1 {status}\r\n{head}\r\n")
    sys.stdout.flush()
    if asked.fail and status >= 400:
        sys.exit(22)
    sys.stdout.buffer.write(answer)


def _url(url: str, moved: list[str]) -> str:
    full = url if "://" in url else f"http://{url}"
    for pair in moved:
        old, new = pair.split("=", 1)
        if full.startswith(old):
            return new + full[len(old) :]
    sys.exit(f"curl: {url} is none of the gateway's addresses")


def _data(said: str) -> str:
    if said == "@-":
        return sys.stdin.read()
    return said.replace("\n", "").replace("\r", "")


def _send(request: urllib.request.Request) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, str(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, str(error.headers), error.read()


if __name__ == "__main__":
    main()

"""An Open Policy Agent server, asked by URL for the value of its ``deny`` rule."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.adapters.outbound import fetch
from gateway.adapters.policy.rego import reasons_of
from gateway.core.errors import OutboundRefused
from gateway.core.policy import Ruling

_PATIENCE_S = 2.0


class OpaServer:
    """``url`` is a document of OPA's data API, such as ``http://127.0.0.1:8181/v1/data/gateway/deny``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = f"opa:{url}"

    def rule(self, question: Mapping[str, Any]) -> Ruling:
        """Ask; blocks for two seconds at most. Raises OutboundRefused, also for an answer that is none."""
        raw = fetch(self._url, body=msgspec.json.encode({"input": question}), patience_s=_PATIENCE_S)
        try:
            said = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise OutboundRefused("The policy server's answer is not JSON.") from error
        if not isinstance(said, dict) or "result" not in said:
            raise OutboundRefused("The policy server has no value there.")
        return Ruling(tuple(reasons_of(said["result"])), self.name)

"""Note the head of every timeline outside the store, and in the log: what is pinned there cannot be rewritten in it."""

from pathlib import Path

import msgspec
import structlog

from gateway.adapters.files import write_whole
from gateway.core.audit import Head
from gateway.core.errors import GatewayError, SettingsError
from gateway.core.events import Decision
from gateway.ports import ControlState

log = structlog.get_logger(__name__)


class HeadKeeper:
    """Keeps a file of heads beside the store; hears of each decision after it was written."""

    def __init__(self, path: Path, control: ControlState) -> None:
        self._path, self._control = path, control

    def tell(self, decision: Decision) -> None:
        """Note the new head. Never raises: a head that was not noted is an older one, which pins less."""
        try:
            head = self._control.head(decision.deployment)
            heads = {**read_heads(self._path), decision.deployment: head}
            write_whole(self._path, msgspec.json.encode(heads))
            log.info("audit_head", deployment=decision.deployment, count=head.count, seal=head.seal)
        except (GatewayError, OSError) as error:
            log.error("audit_head_not_noted", reason=str(error))  # noqa: TRY400 - the sentence says it all


def read_heads(path: Path) -> dict[str, Head]:
    """Read the heads noted at ``path``; none where there is no file. Raises SettingsError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Head])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path} holds no heads of timelines ({error}).") from error

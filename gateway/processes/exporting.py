"""The export of one deployment in a process of its own, started before a retraining target is called.

``python -m gateway.processes.exporting SETTINGS DEPLOYMENT TO``. It reads beside the gateway that writes the store, so
a long export holds nobody up. The last line that it prints says what it did; exit code 1: it could not.
"""

import sys
from pathlib import Path

from gateway.adapters.lake import ParquetLake
from gateway.adapters.store import open_store
from gateway.core.errors import GatewayError
from gateway.export import export
from gateway.settings import thaw


def main() -> None:
    """Export what has changed since the last time."""
    settings, deployment, to = sys.argv[1:]
    try:
        store = open_store(thaw(Path(settings).read_text()).store_url, read_only=True)
        days = list(export(store.events, ParquetLake(to), deployment))
        store.close()
    except (GatewayError, OSError) as error:
        sys.exit(f"The log cannot be exported to {to}: {error}")
    sys.stdout.write(f"exported {sum(day.rows for day in days)} predictions of {len(days)} days to {to}\n")


if __name__ == "__main__":
    main()

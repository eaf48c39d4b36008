"""Control documents in SQLite: compare-and-set and its decisions in one transaction."""

from collections.abc import Sequence

from gateway.adapters.store import documents
from gateway.adapters.store.database import Database, rows, value
from gateway.core.events import Decision
from gateway.core.state import DeploymentState


class SqliteControlState:
    """The ControlState port on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, deployment: str) -> DeploymentState | None:
        """The document as it stands."""
        with self._database.reading() as connection:
            text = value(connection, "SELECT document FROM documents WHERE deployment = ?", (deployment,))
        return None if text is None else documents.decode_state(text)

    def all(self) -> list[DeploymentState]:
        """Every document, by name."""
        with self._database.reading() as connection:
            found = rows(connection, "SELECT document FROM documents ORDER BY deployment")
        return [documents.decode_state(text) for (text,) in found]

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Compare and set. Raises RevisionConflict."""
        with self._database.writing() as connection:
            found = value(connection, "SELECT revision FROM documents WHERE deployment = ?", (state.deployment,))
            documents.check_revision(state, expected, found or 0)
            connection.execute(
                "INSERT OR REPLACE INTO documents (deployment, revision, document) VALUES (?, ?, ?)",
                (state.deployment, state.revision, documents.encode(state)),
            )
            connection.executemany(
                "INSERT INTO decisions (deployment, line) VALUES (?, ?)",
                [(decision.deployment, documents.encode(decision)) for decision in decisions],
            )

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """Decisions, newest first."""
        with self._database.reading() as connection:
            found = rows(
                connection,
                "SELECT line FROM decisions WHERE deployment = ? ORDER BY decision DESC LIMIT ?",
                (deployment, limit),
            )
        return [documents.decode_decision(line) for (line,) in found]

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """What the judge remembered."""
        with self._database.reading() as connection:
            found: bytes | None = value(
                connection,
                "SELECT state FROM judges WHERE deployment = ? AND generation = ?",
                (deployment, generation),
            )
        return found

    def save_judge_state(self, deployment: str, generation: str, state: bytes) -> None:
        """Remember it."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO judges (deployment, generation, state) VALUES (?, ?, ?)",
                (deployment, generation, state),
            )

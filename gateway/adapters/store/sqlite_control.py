"""Control documents in SQLite: compare-and-set and its decisions in one transaction."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import apsw
import msgspec

from gateway.adapters.store import documents, outbox, sqlite_outbox
from gateway.adapters.store.database import Database, rows, value
from gateway.core.audit import BEGINNING, Head, Link, Trail, chained, digest
from gateway.core.course import CoursePoint
from gateway.core.events import Decision
from gateway.core.looks import Look, Opening
from gateway.core.state import DeploymentState

_unpack_moved = msgspec.msgpack.Decoder(dict[int, int]).decode


class SqliteControlState:
    """The ControlState port on a :class:`Database`. With decisions among ``tells``, they wait in the outbox as well."""

    def __init__(self, database: Database, tells: Collection[str] = ()) -> None:
        self._database = database
        self._tells = tells

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
            text, lines = documents.encode(state), [documents.encode(decision) for decision in decisions]
            connection.execute(
                "INSERT OR REPLACE INTO documents (deployment, revision, document) VALUES (?, ?, ?)",
                (state.deployment, state.revision, text),
            )
            links = chained(_last_seal(connection, state.deployment), state.deployment, text, lines)
            connection.executemany(
                "INSERT INTO decisions (deployment, line, document, seal) VALUES (?, ?, ?, ?)",
                [(state.deployment, link.line, link.document, link.seal) for link in links],
            )
            entries = outbox.decision_entries(state.deployment, state.revision, decisions, self._tells)
            sqlite_outbox.put(connection, entries)

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """Decisions, newest first."""
        with self._database.reading() as connection:
            found = rows(
                connection,
                "SELECT line FROM decisions WHERE deployment = ? ORDER BY decision DESC LIMIT ?",
                (deployment, limit),
            )
        return [documents.decode_decision(line) for (line,) in found]

    def trail(self) -> Trail:
        """Every timeline with its seals."""
        with self._database.reading() as connection:
            found = rows(connection, "SELECT deployment, line, document, seal FROM decisions ORDER BY decision")
            texts = rows(connection, "SELECT deployment, document FROM documents")
        links: defaultdict[str, list[Link]] = defaultdict(list)
        for deployment, line, document, sealed in found:
            links[deployment].append(Link(line, document, sealed))
        return Trail(
            {name: tuple(chain) for name, chain in links.items()}, {name: digest(text) for name, text in texts}
        )

    def head(self, deployment: str) -> Head:
        """The last seal."""
        with self._database.reading() as connection:
            count = value(connection, "SELECT count(*) FROM decisions WHERE deployment = ?", (deployment,))
            return Head(count, _last_seal(connection, deployment))

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """What the judge remembered."""
        with self._database.reading() as connection:
            found: bytes | None = value(
                connection,
                "SELECT state FROM judges WHERE deployment = ? AND generation = ?",
                (deployment, generation),
            )
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction, which those inside join."""
        with self._database.writing():
            yield

    def save_look(
        self, deployment: str, generation: str, state: bytes, look: Look, opening: Opening | None = None
    ) -> None:
        """Remember both, in one transaction."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO judges (deployment, generation, state) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET state = excluded.state",
                (deployment, generation, state),
            )
            if opening is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO openings (deployment, generation, document) VALUES (?, ?, ?)",
                    (deployment, generation, documents.encode(opening)),
                )
            number = value(
                connection,
                "SELECT opening FROM openings WHERE deployment = ? AND generation = ?",
                (deployment, generation),
            )
            if number is not None:
                moved = {_spool(connection, spool_id): offset for spool_id, offset in look.moved.items()}
                connection.execute(
                    "INSERT OR REPLACE INTO looks (opening, at, moved) VALUES (?, ?, ?)",
                    (number, look.at, msgspec.msgpack.encode(moved)),
                )

    def opening(self, deployment: str, generation: str) -> Opening | None:
        """How it began."""
        with self._database.reading() as connection:
            text = value(
                connection,
                "SELECT document FROM openings WHERE deployment = ? AND generation = ?",
                (deployment, generation),
            )
        return None if text is None else documents.decode_opening(text)

    def openings(self, deployment: str) -> list[Opening]:
        """How every generation began."""
        with self._database.reading() as connection:
            found = rows(
                connection, "SELECT document FROM openings WHERE deployment = ? ORDER BY opening", (deployment,)
            )
        return [documents.decode_opening(text) for (text,) in found]

    def looks(self, deployment: str, generation: str) -> list[Look]:
        """Every look, by its watermark."""
        with self._database.reading() as connection:
            names: dict[int, str] = dict(rows(connection, "SELECT spool, spool_id FROM look_spools"))
            found = rows(
                connection,
                "SELECT at, moved FROM looks JOIN openings USING (opening)"
                " WHERE deployment = ? AND generation = ? ORDER BY at",
                (deployment, generation),
            )
        return [
            Look(at, {names[spool]: offset for spool, offset in _unpack_moved(packed).items()}) for at, packed in found
        ]

    def forget_generation(self, deployment: str, generation: str) -> None:
        """Delete it all, in one transaction."""
        about = (deployment, generation)
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM looks WHERE opening IN"
                " (SELECT opening FROM openings WHERE deployment = ? AND generation = ?)",
                about,
            )
            for table in ("openings", "judges", "courses"):
                connection.execute(f"DELETE FROM {table} WHERE deployment = ? AND generation = ?", about)  # noqa: S608

    def save_point(self, deployment: str, generation: str, point: CoursePoint) -> None:
        """Keep it."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO courses (deployment, generation, at, point) VALUES (?, ?, ?, ?)",
                (deployment, generation, point.at, documents.encode(point)),
            )

    def course(self, deployment: str, generation: str) -> list[CoursePoint]:
        """What was kept, in order."""
        with self._database.reading() as connection:
            found = rows(
                connection,
                "SELECT point FROM courses WHERE deployment = ? AND generation = ? ORDER BY at",
                (deployment, generation),
            )
        return [documents.decode_point(text) for (text,) in found]


def _last_seal(connection: apsw.Connection, deployment: str) -> str:
    query = "SELECT seal FROM decisions WHERE deployment = ? ORDER BY decision DESC LIMIT 1"
    found: str | None = value(connection, query, (deployment,))
    return BEGINNING if found is None else found


def _spool(connection: apsw.Connection, spool_id: str) -> int:
    """Number a spool: thousands of looks name the same few."""
    number: int | None = value(connection, "SELECT spool FROM look_spools WHERE spool_id = ?", (spool_id,))
    if number is not None:
        return number
    connection.execute("INSERT INTO look_spools (spool_id) VALUES (?)", (spool_id,))
    return connection.last_insert_rowid()

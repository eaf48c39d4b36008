"""Control documents in PostgreSQL: compare-and-set and its decisions in one transaction, told to every host.

As the leader writes them, each write checks the leader's epoch in its own statement, and holds that epoch until it has
committed: a leader that was slow cannot write over what its successor has decided. (The epoch is a key, so holding it
keeps nobody from renewing the lease beside it.)
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import LiteralString

import msgspec

from gateway.adapters.store import documents, outbox, postgresql_outbox
from gateway.adapters.store.postgresql import CONTROL_S, Connection, Parameters, PostgresDatabase, Row, row, rows
from gateway.core.audit import BEGINNING, Head, Link, Trail, chained, digest
from gateway.core.course import CoursePoint
from gateway.core.errors import NotLeading
from gateway.core.events import Decision
from gateway.core.looks import Look, Opening
from gateway.core.state import DeploymentState

CHANNEL = "gateway_control"

_unpack_moved = msgspec.msgpack.Decoder(dict[int, int]).decode

_LEAD: LiteralString = """
    WITH lead AS MATERIALIZED (
        SELECT FROM leadership WHERE %(epoch)s::bigint IS NULL OR epoch = %(epoch)s::bigint FOR KEY SHARE
    )
"""
_CREATE: LiteralString = f"""
    {_LEAD}
    INSERT INTO documents (deployment, revision, document)
    SELECT %(deployment)s, %(revision)s, %(document)s WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT DO NOTHING
"""
_REPLACE: LiteralString = f"""
    {_LEAD}
    UPDATE documents SET revision = %(revision)s, document = %(document)s
    WHERE deployment = %(deployment)s AND revision = %(expected)s AND EXISTS (SELECT FROM lead)
"""
_DECIDED: LiteralString = "INSERT INTO decisions (deployment, line, document, seal) VALUES (%s, %s, %s, %s)"
_SEALED: LiteralString = "SELECT deployment, line, document, seal FROM decisions ORDER BY decision"
_LAST_SEAL: LiteralString = "SELECT seal FROM decisions WHERE deployment = %s ORDER BY decision DESC LIMIT 1"
_REMEMBER: LiteralString = f"""
    {_LEAD}
    INSERT INTO judges (deployment, generation, state)
    SELECT %(deployment)s, %(generation)s, %(state)s WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT (deployment, generation) DO UPDATE SET state = excluded.state
"""
_OPEN: LiteralString = """
    INSERT INTO openings (deployment, generation, document) VALUES (%(deployment)s, %(generation)s, %(document)s)
    ON CONFLICT (deployment, generation) DO NOTHING
"""
_OPENED: LiteralString = """
    SELECT opening FROM openings WHERE deployment = %(deployment)s AND generation = %(generation)s
"""
_LOOKED: LiteralString = """
    INSERT INTO looks (opening, at, moved) VALUES (%s, %s, %s)
    ON CONFLICT (opening, at) DO UPDATE SET moved = excluded.moved
"""
_NUMBER_SPOOLS: LiteralString = """
    INSERT INTO look_spools (spool_id) SELECT unnest(%s::text[]) ON CONFLICT (spool_id) DO NOTHING
"""
_SPOOLS: LiteralString = "SELECT spool_id, spool FROM look_spools WHERE spool_id = ANY(%s)"
_LOOKS: LiteralString = """
    SELECT at, moved FROM looks JOIN openings USING (opening) WHERE deployment = %s AND generation = %s ORDER BY at
"""

_FORGET: LiteralString = """
    WITH gone AS (
        DELETE FROM openings WHERE deployment = %(deployment)s AND generation = %(generation)s RETURNING opening
    ), unlooked AS (
        DELETE FROM looks USING gone WHERE looks.opening = gone.opening
    ), unjudged AS (
        DELETE FROM judges WHERE deployment = %(deployment)s AND generation = %(generation)s
    )
    DELETE FROM courses WHERE deployment = %(deployment)s AND generation = %(generation)s
"""
_KEEP_POINT: LiteralString = """
    INSERT INTO courses (deployment, generation, at, point) VALUES (%s, %s, %s, %s)
    ON CONFLICT (deployment, generation, at) DO UPDATE SET point = excluded.point
"""
_COURSE: LiteralString = "SELECT point FROM courses WHERE deployment = %s AND generation = %s ORDER BY at"


class PostgresControlState:
    """The ControlState port on a :class:`PostgresDatabase`.

    ``epoch`` gives the leader's epoch to hold writes to (it raises NotLeading without one); None: an operator's writes,
    which any host may make, since compare-and-set is all they need. With decisions among ``tells``, they wait in the
    outbox as well.
    """

    def __init__(
        self, database: PostgresDatabase, epoch: Callable[[], int] | None = None, tells: Collection[str] = ()
    ) -> None:
        self._database = database
        self._epoch = epoch
        self._tells = tells

    def read(self, deployment: str) -> DeploymentState | None:
        """The document as it stands."""
        found = self._one("SELECT document FROM documents WHERE deployment = %s", (deployment,))
        return None if found is None else documents.decode_state(found[0])

    def all(self) -> list[DeploymentState]:
        """Every document, by name."""
        with self._database.asking(CONTROL_S) as connection:
            found = rows(connection, 'SELECT document FROM documents ORDER BY deployment COLLATE "C"')
        return [documents.decode_state(text) for (text,) in found]

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Compare and set, and tell whoever listens. Raises RevisionConflict; NotLeading as the leader of old."""
        text = documents.encode(state)
        values = {
            "epoch": None if self._epoch is None else self._epoch(),
            "deployment": state.deployment,
            "revision": state.revision,
            "document": text,
            "expected": expected,
        }
        with self._database.writing(CONTROL_S) as connection:
            put = _CREATE if expected == 0 else _REPLACE
            if state.revision <= expected or not connection.execute(put, values).rowcount:
                self._explain(connection, state, expected)
            # The document's row is locked now, so nobody else adds to this timeline.
            lines = [documents.encode(decision) for decision in decisions]
            links = chained(_last_seal(connection, state.deployment), state.deployment, text, lines)
            connection.cursor().executemany(
                _DECIDED, [(state.deployment, link.line, link.document, link.seal) for link in links]
            )
            entries = outbox.decision_entries(state.deployment, state.revision, decisions, self._tells)
            postgresql_outbox.put(connection, entries)
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, state.deployment))

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """Decisions, newest first."""
        with self._database.asking(CONTROL_S) as connection:
            found = rows(
                connection,
                "SELECT line FROM decisions WHERE deployment = %s ORDER BY decision DESC LIMIT %s",
                (deployment, limit),
            )
        return [documents.decode_decision(line) for (line,) in found]

    def trail(self) -> Trail:
        """Every timeline with its seals."""
        with self._database.reading() as connection:
            found = rows(connection, _SEALED)
            texts = rows(connection, "SELECT deployment, document FROM documents")
        links: defaultdict[str, list[Link]] = defaultdict(list)
        for deployment, line, document, sealed in found:
            links[deployment].append(Link(line, document, sealed))
        return Trail(
            {name: tuple(chain) for name, chain in links.items()}, {name: digest(text) for name, text in texts}
        )

    def head(self, deployment: str) -> Head:
        """The last seal."""
        with self._database.reading(CONTROL_S) as connection:
            count = row(connection, "SELECT count(*) FROM decisions WHERE deployment = %s", (deployment,))
            return Head(count[0] if count else 0, _last_seal(connection, deployment))

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """What the judge remembered."""
        found = self._one(
            "SELECT state FROM judges WHERE deployment = %s AND generation = %s", (deployment, generation)
        )
        return None if found is None else bytes(found[0])

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction, which those inside join."""
        with self._database.writing():
            yield

    def save_look(
        self, deployment: str, generation: str, state: bytes, look: Look, opening: Opening | None = None
    ) -> None:
        """Remember both, in one transaction. Raises NotLeading as the leader of old."""
        values = {
            "epoch": None if self._epoch is None else self._epoch(),
            "deployment": deployment,
            "generation": generation,
            "state": state,
        }
        with self._database.writing(CONTROL_S) as connection:
            if not connection.execute(_REMEMBER, values).rowcount:
                raise NotLeading
            if opening is not None:
                connection.execute(_OPEN, values | {"document": documents.encode(opening)})
            number = row(connection, _OPENED, values)
            if number is not None:
                moved = _numbered(connection, look.moved)
                connection.execute(_LOOKED, (number[0], look.at, msgspec.msgpack.encode(moved)))

    def opening(self, deployment: str, generation: str) -> Opening | None:
        """How it began."""
        found = self._one(
            "SELECT document FROM openings WHERE deployment = %s AND generation = %s", (deployment, generation)
        )
        return None if found is None else documents.decode_opening(found[0])

    def openings(self, deployment: str) -> list[Opening]:
        """How every generation began."""
        with self._database.asking(CONTROL_S) as connection:
            found = rows(
                connection, "SELECT document FROM openings WHERE deployment = %s ORDER BY opening", (deployment,)
            )
        return [documents.decode_opening(text) for (text,) in found]

    def looks(self, deployment: str, generation: str) -> list[Look]:
        """Every look, by its watermark."""
        with self._database.reading() as connection:
            names: dict[int, str] = dict(rows(connection, "SELECT spool, spool_id FROM look_spools"))
            found = rows(connection, _LOOKS, (deployment, generation))
        return [
            Look(at, {names[spool]: offset for spool, offset in _unpack_moved(packed).items()}) for at, packed in found
        ]

    def forget_generation(self, deployment: str, generation: str) -> None:
        """Delete it all, in one statement."""
        with self._database.writing(CONTROL_S) as connection:
            connection.execute(_FORGET, {"deployment": deployment, "generation": generation})

    def save_point(self, deployment: str, generation: str, point: CoursePoint) -> None:
        """Keep it."""
        with self._database.writing(CONTROL_S) as connection:
            connection.execute(_KEEP_POINT, (deployment, generation, point.at, documents.encode(point)))

    def course(self, deployment: str, generation: str) -> list[CoursePoint]:
        """What was kept, in order."""
        with self._database.asking(CONTROL_S) as connection:
            found = rows(connection, _COURSE, (deployment, generation))
        return [documents.decode_point(text) for (text,) in found]

    def _one(self, query: LiteralString, parameters: Parameters) -> Row | None:
        with self._database.asking(CONTROL_S) as connection:
            return row(connection, query, parameters)

    def _explain(self, connection: Connection, state: DeploymentState, expected: int) -> None:
        """Say why nothing was written: the revision has moved on, or the lead is another's."""
        found = row(connection, "SELECT revision FROM documents WHERE deployment = %s", (state.deployment,))
        documents.check_revision(state, expected, found[0] if found else 0)
        raise NotLeading


def _last_seal(connection: Connection, deployment: str) -> str:
    found = row(connection, _LAST_SEAL, (deployment,))
    return BEGINNING if found is None else str(found[0])


def _numbered(connection: Connection, moved: Mapping[str, int]) -> dict[int, int]:
    """Name spools by a number: thousands of looks name the same few."""
    if not moved:
        return {}
    numbers: dict[str, int] = dict(rows(connection, _SPOOLS, (list(moved),)))
    if unknown := sorted(set(moved) - set(numbers)):
        connection.execute(_NUMBER_SPOOLS, (unknown,))
        numbers = dict(rows(connection, _SPOOLS, (list(moved),)))
    return {numbers[spool_id]: offset for spool_id, offset in moved.items()}

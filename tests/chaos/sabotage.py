"""Twelve ways to break a promise, each as a small change of the tree, and the row that has to notice.

A change replaces words that stand exactly once in their file, so that one which no longer fits is an error and not a
build that is whole. ``shows`` is what the row's own figure says when it catches.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Edit:
    """Words of a file, and what stands there in the sabotaged build."""

    path: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Change the file. Raises ValueError unless the words stand there once."""
        file = tree / self.path
        text = file.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.path} holds {text.count(self.old)} times, not once: {self.old!r}")
        file.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Sabotage:
    """One broken promise: what is done to the tree, who has to notice, and by which figure."""

    name: str
    row: str
    shows: str
    """A regular expression that the row's failing figure fits."""
    edits: tuple[Edit, ...]
    test: str = ""
    """The row's file of tests, where it is not one of ``python -m tests.chaos``."""
    only: str = ""
    """Words of the tests' names that are run, where others would take the sabotage into the test's own process."""
    memory_gib: float | None = None
    """The most address space a process may have, where a build would swallow the machine."""


_STORE = "gateway/adapters/store/"
_FEATURES = "gateway/adapters/features/"

TWELVE = (
    Sabotage(
        "the store commits with synchronous=NORMAL",
        "D2",
        r"committed batches of the store lost",
        (Edit(f"{_STORE}database.py", "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),),
    ),
    Sabotage(
        "an outcome is acknowledged before its fsync has returned",
        "D2",
        r"of them lost",
        (Edit("gateway/adapters/spool/segment.py", "if not await self._commit.covered():", "if False:"),),
    ),
    Sabotage(
        "If-Match is not held against the revision",
        "C1",
        r"accepted for a revision that had gone by",
        (
            Edit(
                "gateway/edge/control_desk.py",
                "    revision = _revision(if_match)\n",
                "    _revision(if_match)\n"
                "    revision = (await plane.run(lambda: plane.control.read(deployment))).revision\n",
            ),
        ),
    ),
    Sabotage(
        "notifications without polling",
        "C2",
        r"with a listener that hears nothing",
        (
            Edit(
                "gateway/processes/agent.py",
                "async with asyncio.timeout(_RENEW_EVERY_S):\n                    await self._changed.wait()",
                "async with asyncio.timeout(None):\n                    await self._changed.wait()",
            ),
        ),
    ),
    Sabotage(
        "a candidate needs no lease",
        "C6",
        r"last canary answer after the stop",
        (
            Edit(
                "gateway/processes/tables.py",
                "if not table.candidates or self._clock.machine() >= self._lease:",
                "if not table.candidates:",
            ),
        ),
    ),
    Sabotage(
        "two batches at once share a Redis connection",
        "S16",
        r"assert \d+ == 0|TimeoutError|Timeout",
        (
            Edit(
                f"{_FEATURES}resp.py",
                "self._landed(flying.popleft())",
                "self._landed(flying.popleft())\n                flying.rotate(1)",
            ),
        ),
        test="tests/security/test_s16_cancel_storm.py",
    ),
    Sabotage(
        "a failed read is asked again three times, as redis-py does",
        "C7",
        r"p99 of an answer while (stopped|slow)",
        (
            Edit(
                f"{_FEATURES}redis.py",
                "replies = await self._pipe.ask(commands, budget_s)\n"
                "            except (TimeoutError, StoreRefused, RedisError, OSError) as error:\n",
                "replies = await self._again(commands, budget_s)\n"
                "            except (TimeoutError, StoreRefused, RedisError, OSError) as error:\n",
            ),
            Edit(
                f"{_FEATURES}redis.py",
                "    async def close(self) -> None:\n",
                "    async def _again(self, commands, budget_s):\n"
                "        for _ in range(3):\n"
                "            try:\n"
                "                return await self._pipe.ask(commands, budget_s)\n"
                "            except (TimeoutError, StoreRefused, RedisError, OSError):\n"
                "                await asyncio.sleep(budget_s / 2)\n"
                "        return await self._pipe.ask(commands, budget_s)\n\n"
                "    async def close(self) -> None:\n",
            ),
            Edit(f"{_FEATURES}redis.py", ", retry=Retry(NoBackoff(), 0))", ")"),
        ),
    ),
    Sabotage(
        "only paths below /admin are locked",
        "S5",
        r"test_s5_authorisation_matrix",
        (
            Edit(
                "gateway/edge/doors.py",
                '        asked = "GET" if method == "HEAD" else method\n',
                '        if not path.startswith("/admin"):\n            return frozenset({NOBODY})\n'
                '        asked = "GET" if method == "HEAD" else method\n',
            ),
        ),
        test="tests/security/test_s5_authorisation_matrix.py",
    ),
    Sabotage(
        "a body may be as long as it likes",
        "S4",
        r"test_s4_large_bodies",
        (
            Edit("gateway/edge/bodies.py", "if len(length) > 18 or int(length) > limit:", "if len(length) > 18:"),
            Edit("gateway/edge/bodies.py", "        if size > limit:\n", "        if size > 2**40:\n"),
        ),
        test="tests/security/test_s4_large_bodies.py",
        only="nothing_grows",
        memory_gib=3.0,
    ),
    Sabotage(
        "the bucket's salt is public: the deployment's name",
        "C13",
        r"share of two candidates' draws off by",
        (
            Edit(
                "gateway/control.py",
                "begin(name, self._token(), model, chosen, self._token(), terms, at)",
                "begin(name, self._token(), model, chosen, deployment, terms, at)",
            ),
        ),
    ),
    Sabotage(
        "a label has an effect as often as it is sent",
        "D6",
        r"labels with an effect",
        (
            Edit(
                f"{_STORE}sqlite_drain.py",
                "        if not history:\n            self._counts.add(tag",
                "        if True:\n            self._counts.add(tag",
            ),
        ),
    ),
    Sabotage(
        "a record is written behind the answer, as a background task",
        "D4",
        r"acknowledged|lost",
        (
            Edit(
                "gateway/predict.py",
                "        refusals = self._spool.append_all(records)\n",
                "        refusals: list[LogRefused | None] = [None] * len(records)\n"
                "        __import__('asyncio').get_running_loop().call_later(0.01, self._spool.append_all, records)\n",
            ),
        ),
    ),
)

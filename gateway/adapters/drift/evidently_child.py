"""The process that draws a drift report: ``python -m gateway.adapters.drift.evidently_child``.

It reads one job (JSON) from standard input, limits itself, opens the store beside its writer, leaves the page in its
folder, and prints one answer (JSON). What people sent is laid into cells before Evidently sees it, and every word is
disarmed: Evidently writes them into a script as they are.
"""

import html
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec

from gateway.adapters.children import keep_stdout_for_the_answer, limit
from gateway.adapters.drift.evidently import PAGE, Found, Job, Trouble
from gateway.adapters.models.prepare import ModelCache
from gateway.adapters.models.profile import decode_profile
from gateway.adapters.store import open_store
from gateway.contrast import Contrasting
from gateway.core.deployments import Scalar
from gateway.core.drift.profiles import Kind, Profile
from gateway.core.drift.sides import Column, Sides
from gateway.core.errors import GatewayError, ModelUnusable, NothingToCompare, UnknownDeployment

_LONGEST = 60
_BODY = "<body>"
_DISARMED = str.maketrans({"<": "(", ">": ")", "&": "+", "\\": "/"})


def main() -> None:
    """Read the job, limit this process, draw, answer, and leave without anybody's exit code."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    answers, page = keep_stdout_for_the_answer(), Path(PAGE).absolute()
    limit(job.wall_s, job.memory_bytes)
    os.chdir(job.folder)
    answers.write(msgspec.json.encode(made(job, page)))
    answers.flush()
    os._exit(0)


def made(job: Job, page: Path) -> Found:
    """Write the page, or say why there is none."""
    try:
        page.write_text(drawn(collected(job)), encoding="utf-8")
    except UnknownDeployment:
        return Found(Trouble.UNKNOWN)
    except (NothingToCompare, ModelUnusable) as error:
        return Found(Trouble.NOTHING, str(error))
    except GatewayError as error:
        return Found(Trouble.FAILED, str(error))
    except MemoryError:
        return Found(Trouble.FAILED, f"Making the report takes more than the {job.memory_bytes >> 20} MiB allowed.")
    except Exception as error:  # noqa: BLE001 - Evidently's libraries raise what they like; it is told, not hidden
        return Found(Trouble.FAILED, f"Evidently could not draw the report ({type(error).__name__}).")
    return Found()


def collected(job: Job) -> Sides:
    """Both sides, read from the store. Raises what :class:`Contrasting` raises."""
    cache = ModelCache(Path(job.models))

    def profile(digest: str) -> Profile | None:
        raw = cache.profile(digest)
        return None if raw is None else decode_profile(raw)

    store = open_store(job.store_url, read_only=True)
    try:
        return Contrasting(store.control, store.events, store.drift, profile).sides(job.asked)
    finally:
        store.close()


def drawn(sides: Sides) -> str:
    """Evidently's drift preset over both sides, as one page that fetches nothing and tells nobody."""
    os.environ["DO_NOT_TRACK"] = "1"  # Evidently would tell its makers
    warnings.simplefilter("ignore")  # Evidently's, about its own parts
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [_renamed(column) for column in sides.columns]
    definition = DataDefinition(
        numerical_columns=[one.name for one in columns if one.kind is Kind.NUMBER],
        categorical_columns=[one.name for one in columns if one.kind is Kind.CATEGORY],
    )
    reference, live = (_frame({one.name: side(one) for one in columns}) for side in (_reference, _live))
    snapshot = Report([DataDriftPreset()]).run(
        Dataset.from_pandas(live, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    return _headed(snapshot.get_html_str(as_iframe=False), sides.sentence)


def disarmed(word: Scalar) -> Scalar:
    """A word that ends no script and opens none, of a length that a chart can bear; a number as it is.

    >>> disarmed("</script><script>alert(1)</script>"), disarmed(1.5)
    ('(/script)(script)alert(1)(/script)', 1.5)
    """
    return word.translate(_DISARMED)[:_LONGEST] if isinstance(word, str) else word


def _renamed(column: Column) -> Column:
    name = str(disarmed(column.name))
    return Column(name, column.kind, [*map(disarmed, column.reference)], [*map(disarmed, column.live)])


def _reference(column: Column) -> list[Scalar]:
    return column.reference


def _live(column: Column) -> list[Scalar]:
    return column.live


def _frame(columns: dict[str, list[Scalar]]) -> Any:  # noqa: ANN401 - pandas' own
    """Columns as a table. A shorter one (answers of one variant) ends early: the rest is nobody's value."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})


def _headed(page: str, sentence: str) -> str:
    """Say above Evidently's page what it is about, and whose thresholds it uses."""
    said = (
        f"{html.escape(sentence)} Tests and thresholds below are Evidently's own, for one look; "
        "the gateway's alarm is at /admin/deployments/…/drift."
    )
    head = f'<p style="font: 15px/1.5 sans-serif; margin: 1.5em; color: #333">{said}</p>'
    return page.replace(_BODY, _BODY + head, 1)


if __name__ == "__main__":
    main()

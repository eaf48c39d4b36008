"""Where the example keeps what: every path below one folder, ``state/demo`` unless told otherwise."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT = Path("state/demo")
MODEL = "flight-delay"
VERSIONS = (1, 2, 3, 4)

_COMMITTED_REPO = REPOSITORY / "feature_repo"
_DEFAULT_ROOT = REPOSITORY / DEFAULT
_DEFAULT_AS_THE_REPO_SEES_IT = "../state/demo/"


@dataclass(frozen=True, slots=True)
class Layout:
    """The places below ``root``."""

    root: Path

    @property
    def flights(self) -> Path:
        """One row per flight of nine months."""
        return self.root / "flights-of-nine-months.parquet"

    @property
    def weather(self) -> Path:
        """One row per airport and hour."""
        return self.root / "weather.parquet"

    @property
    def offline(self) -> Path:
        """Folder of Feast's offline sources: a Parquet file per feature view."""
        return self.root / "offline"

    @property
    def feast(self) -> Path:
        """Folder of what Feast makes: registry and online store."""
        return self.root / "feast"

    @property
    def online_store(self) -> Path:
        """The SQLite online store."""
        return self.feast / "online.db"

    @property
    def cursor(self) -> Path:
        """Data time (whole seconds) up to which the online store has been written."""
        return self.feast / "written-until"

    @property
    def trained(self) -> Path:
        """Folder of fitted models and their figures, before registration."""
        return self.root / "trained"

    @property
    def model_folder(self) -> Path:
        """The same models as plain joblib files, each with its manifest."""
        return self.root / "models"

    @property
    def registry(self) -> str:
        """URI of the MLflow registry (and tracking store)."""
        return f"sqlite:///{self.registry_file.resolve()}"

    @property
    def registry_file(self) -> Path:
        """The SQLite file behind it."""
        return self.root / "mlflow.db"

    @property
    def registry_at_start(self) -> Path:
        """The registry as it stands before the story."""
        return self.root / "mlflow-at-start.db"

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts."""
        return self.root / "mlartifacts"

    @property
    def feature_repo(self) -> Path:
        """The Feast repository over this folder: the committed one for ``state/demo``, elsewhere a copy of it."""
        return _COMMITTED_REPO if self.root.resolve() == _DEFAULT_ROOT else self.root / "feature_repo"

    def written_until(self) -> int | None:
        """Data time up to which the online store has been written, None when it was never filled."""
        return int(self.cursor.read_text(encoding="utf-8")) if self.cursor.exists() else None

    def remember_written(self, until: int) -> None:
        """Move the cursor. To be called after the rows: a crash in between writes the same rows once more."""
        fresh = self.cursor.with_suffix(".new")
        fresh.write_text(f"{until}\n", encoding="utf-8")
        fresh.replace(self.cursor)

    def make(self) -> None:
        """Create the folders, and the copy of the feature repository where one is needed."""
        for folder in (self.offline, self.feast, self.trained, self.model_folder, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        if self.feature_repo == _COMMITTED_REPO:
            return
        self.feature_repo.mkdir(exist_ok=True)
        for name in ("feature_store.yaml", "definitions.py"):
            text = (_COMMITTED_REPO / name).read_text(encoding="utf-8")
            (self.feature_repo / name).write_text(text.replace(_DEFAULT_AS_THE_REPO_SEES_IT, "../"), encoding="utf-8")

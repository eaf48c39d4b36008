"""A registry is named by one URL, and a URL nobody knows is an error that lists the right words."""

from pathlib import Path

import pytest

from gateway.adapters.models import JoblibFolder, MemoryModelStore, MlflowModelStore, open_model_store
from gateway.core.errors import ModelUnusable, SettingsError


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryModelStore),
        ("models", JoblibFolder),
        ("./models", JoblibFolder),
        ("joblib:models", JoblibFolder),
        ("file:models", JoblibFolder),
        ("sqlite:///mlflow.db", MlflowModelStore),
        ("http://localhost:5000", MlflowModelStore),
        ("https://mlflow.example.org", MlflowModelStore),
        ("postgresql+psycopg2://mlflow@db/mlflow", MlflowModelStore),
        ("mlflow:mlruns", MlflowModelStore),
        ("mlflow:sqlite:///mlflow.db", MlflowModelStore),
    ],
)
def test_a_url_names_its_registry(url: str, kind: type) -> None:
    assert type(open_model_store(url)) is kind


def test_a_folder_that_mlflow_made_is_an_mlflow_registry(tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    assert type(open_model_store("mlruns", tmp_path)) is MlflowModelStore


@pytest.mark.parametrize("url", ["", "sqlite:mlflow.db", "memroy:", "ftp://models", "mflow:mlruns", "joblib:"])
def test_a_typo_lists_the_right_words(url: str) -> None:
    with pytest.raises(SettingsError, match=r"a folder of joblib models .* an MLflow tracking URI .* memory:"):
        open_model_store(url)


def test_an_error_never_shows_a_password() -> None:
    with pytest.raises(SettingsError) as caught:
        open_model_store("postgres://gateway:hunter2@db/mlflow")
    assert "hunter2" not in str(caught.value)


def test_without_mlflow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)  # how Python itself marks a module as missing
    with pytest.raises(ModelUnusable, match=r"pip install 'gateway\[mlflow\]'"):
        open_model_store("sqlite:///mlflow.db").resolve("models:/delay/1")

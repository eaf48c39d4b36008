"""The image, checked without Docker: what it copies is there, and what it installs serves, non-root and read-only.

The package is installed by the Dockerfile's own line into a fresh environment. Its dependencies are not downloaded once
more: the environment sees those of this run, which come from the same hashed files.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.docs.dockerfile import command, environment, ignored, instructions, sources
from tests.docs.pages import ROOT
from tests.e2e.harness import simple_config, train, until

DOCKERFILE = instructions(ROOT / "Dockerfile")
PATTERNS = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USER = 10001
IN_THE_IMAGE = ("mlflow", "postgresql", "kafka", "tracing", "alerts")

READ_ONLY = """
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t tmpfs -o uid=10001 tmpfs "$2"
mount -o remount,bind,ro /
shift 2
exec setpriv --reuid=10001 --regid=10001 --clear-groups \
    --inh-caps=+dac_read_search --ambient-caps=+dac_read_search "$@"
"""
"""Runs a command as the image's user where nothing can be written but a state folder ($1) and a tmpfs ($2).

The one capability lets it *read* a Python that lies in a home folder of root's, as on this machine it may.
"""


def only(word: str) -> str:
    """The one instruction of that word in the last stage."""
    last = max(each.stage for each in DOCKERFILE)
    [found] = [each.text for each in DOCKERFILE if (each.stage, each.word) == (last, word)]
    return found


def installs() -> list[list[str]]:
    runs = [each.text.split() for each in DOCKERFILE if each.word == "RUN"]
    return [words for words in runs if "install" in words]


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    wanted = [source for found, _ in sources(DOCKERFILE) for source in found]
    assert wanted
    assert [source for source in wanted if not (ROOT / source).exists()] == []
    assert [source for source in wanted if ignored(source, PATTERNS)] == []


@pytest.mark.parametrize("path", [".git", ".venv/bin/python", "state/gateway/keys.json", "gateway/__pycache__/x.pyc"])
def test_what_is_no_business_of_an_image_stays_out_of_it(path: str) -> None:
    assert ignored(path, PATTERNS)


def test_every_package_is_pinned_by_its_hash() -> None:
    packages, ours = installs()
    assert "--require-hashes" in packages
    assert {"--no-deps", "--no-build-isolation"} <= set(ours)
    for name in [word for word in packages if word.endswith(".txt")]:
        text = (ROOT / name).read_text().replace("\\\n", " ")
        pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []


def test_the_image_holds_every_dependency_of_the_package() -> None:
    names = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE
    )
    wanted = [*PROJECT["dependencies"], *(one for extra in IN_THE_IMAGE for one in optional(extra))]
    bare = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in wanted}
    assert bare - {name.lower() for name in names} == set()


def optional(extra: str) -> list[str]:
    found: list[str] = PROJECT["optional-dependencies"][extra]
    return found


def test_it_runs_as_nobody_special_and_writes_to_its_volume_only() -> None:
    said = environment(DOCKERFILE)
    assert only("USER") == f"{USER}:{USER}"
    assert only("VOLUME") == said["GATEWAY_STATE_DIR"] == only("WORKDIR")
    assert said["PYTHONDONTWRITEBYTECODE"] == "1"
    assert said["HOME"] == "/tmp"
    assert only("STOPSIGNAL") == "SIGTERM"


def test_its_command_is_the_one_on_the_laptop() -> None:
    program, *words = command(only("CMD"))
    assert program in PROJECT["scripts"]
    assert words[:2] == ["serve", "--config"]
    python, flag, code = command(only("HEALTHCHECK").partition("CMD")[2])
    assert (python, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package in it, made from what the Dockerfile copies, by the line it runs."""
    folder = tmp_path_factory.mktemp("image")
    source, environ = folder / "src", folder / "env"
    source.mkdir()
    for found, target in sources(DOCKERFILE):
        for each in found:
            _copy(ROOT / each, source / target)
    venv.create(environ, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (environ / "lib" / version / "site-packages" / "seen.pth").write_text(sysconfig.get_path("purelib"))
    words = [word for word in installs()[1] if not word.startswith("/")]
    made = subprocess.run([str(environ / "bin" / "python"), "-m", "pip", *words, "-q"], cwd=source, capture_output=True)
    assert made.returncode == 0, made.stderr.decode()
    return environ


def _copy(source: Path, target: Path) -> None:
    """As COPY does: of a folder what is in it, a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def test_the_command_runs_from_a_fresh_environment(installed: Path) -> None:
    program, *_ = command(only("CMD"))
    said = subprocess.run([installed / "bin" / program, "serve", "--help"], capture_output=True, text=True, cwd="/")
    assert said.returncode == 0, said.stderr
    assert "--config" in said.stdout
    where = [str(installed / "bin" / "python"), "-c", "import gateway; print(gateway.__file__)"]
    assert str(installed) in subprocess.run(where, capture_output=True, text=True, cwd="/").stdout


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may read, as pytest's own is not; with ``state`` and ``tmp`` for the image's user."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        for name in ("state", "tmp"):
            (folder / name).mkdir()
        yield folder


@pytest.fixture
def sealed(place: Path) -> list[str]:
    """The beginning of a command that runs what follows non-root and read-only, but for ``state`` and ``tmp``."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("making a mount namespace takes root, unshare and setpriv")
    for name in ("state", "tmp"):
        os.chown(place / name, USER, USER)
    prefix = ["unshare", "-m", "--", "sh", "-ec", READ_ONLY, "sh", str(place / "state"), str(place / "tmp")]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody make a mount namespace")
    return prefix


def test_it_serves_non_root_on_a_read_only_file_system(installed: Path, sealed: list[str], place: Path) -> None:
    train(place / "models", "1")
    config = simple_config(place, control_port=0, data_port=0)
    (place / "gateway.yaml").write_text(yaml.safe_dump(config))
    said = environment(DOCKERFILE) | {
        "PATH": f"{installed / 'bin'}:/usr/bin:/bin",
        "HOME": str(place / "tmp"),
        "TMPDIR": str(place / "tmp"),
        "GATEWAY_STATE_DIR": str(place / "state"),
        "GATEWAY_DATA_HOST": "127.0.0.1",
    }
    assert subprocess.run([*sealed, "touch", str(installed / "x")], capture_output=True).returncode != 0
    program, serve, flag, _ = command(only("CMD"))
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*sealed, program, serve, flag, str(place / "gateway.yaml")],
            env=said,
            cwd=place / "state",
            stderr=log,
        )
    try:
        address = until(lambda: _address(place / "state", process), 20.0)
        with httpx.Client(base_url=address, timeout=60.0) as client:
            until(lambda: client.get("/readyz").status_code == 200, 30.0)
            answer = client.post("/predict", json={"features": {"age": 40.0, "visits": 3.0}})
        assert (answer.status_code, answer.json()["logged"]) == (200, True)
        assert Path(f"/proc/{process.pid}/status").read_text().partition("Uid:")[2].split()[0] == str(USER)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20.0) == 0, (place / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _address(state: Path, process: "subprocess.Popen[bytes]") -> str | None:
    assert process.poll() is None, "it ended at once"
    path = state / "run" / "addresses.json"
    said = path.read_text() if path.exists() else ""
    return str(json.loads(said)["data"]) if said else None  # it may have been made and not written yet

"""What ``gateway doctor`` looks at before traffic does: each check says what is wrong, and what to do about it.

It only looks: it writes nothing anywhere, starts nothing, and asks a running gateway no more than a browser would.
"""

import os
import shutil
import ssl
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import apsw
import httpx

from gateway.adapters.features import open_compiler
from gateway.adapters.features.doctor import complaints
from gateway.adapters.models import JoblibFolder, MlflowModelStore
from gateway.adapters.models.artifacts import read_files
from gateway.adapters.models.pickles import admit
from gateway.adapters.registry import registry_of
from gateway.adapters.store import SHARED
from gateway.compose import model_store
from gateway.core.aliases import CHALLENGER, CHAMPION
from gateway.core.deployments import DeploymentSpec
from gateway.core.errors import GatewayError, ModelUnusable
from gateway.edge import doctor_stores
from gateway.edge.control_client import CommandFailed, ControlClient, Exit
from gateway.edge.doctor_checks import Check, Level, clock
from gateway.ports import ModelStore
from gateway.settings import Settings

_FIXED_SQLITE = (3, 51, 3)
_LITTLE_SPACE = 2**30


def examine(settings: Settings, url: str | None = None) -> list[Check]:
    """Look at everything these settings name."""
    parts: list[Callable[[], Iterator[Check]]] = [
        lambda: _versions(settings),
        lambda: _state(settings),
        lambda: _tls(settings),
        lambda: _store(settings),
        lambda: _models(settings),
        lambda: _features(settings),
        lambda: _running(settings, url),
        lambda: _clocks(settings),
    ]
    return [check for part in parts for check in part()]


def _versions(settings: Settings) -> Iterator[Check]:
    yield Check("python", Level.OK, f"is {'.'.join(map(str, sys.version_info[:3]))}")
    found = apsw.sqlite_lib_version()
    if tuple(map(int, found.split("."))) < _FIXED_SQLITE:
        yield Check("sqlite", Level.FAIL, f"is {found}, which can lose a WAL", "upgrade apsw to 3.51.3 or later")
    else:
        yield Check("sqlite", Level.OK, f"is {found}")
    needed = {"feast": settings.features is not None, "mlflow": _is_mlflow(settings)}
    for package in (name for name, wanted in needed.items() if wanted):
        try:
            yield Check(package, Level.OK, f"is {version(package)}")
        except PackageNotFoundError:
            yield Check(package, Level.FAIL, "is not installed here", f"pip install 'gateway[{package}]'")


def _state(settings: Settings) -> Iterator[Check]:
    folder = settings.state_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Check(
            "state_dir", Level.FAIL, f"{existing} cannot be written to", f"give this user write access to {folder}"
        )
        return
    free = shutil.disk_usage(existing).free
    if free < _LITTLE_SPACE:
        yield Check(
            "state_dir", Level.WARN, f"{free >> 20} MiB are free at {existing}", "make room, or lower max_spool"
        )
    else:
        yield Check("state_dir", Level.OK, f"{folder} can be written to; {free >> 30} GiB are free")
    for secret in (folder / "keys.json", settings.keys_path, *filter(None, [settings.tls_key])):
        if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & 0o077:
            yield Check("keys", Level.FAIL, f"others may read {secret}", f"chmod 600 {secret}")


def _tls(settings: Settings) -> Iterator[Check]:
    if settings.tls_certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        fix = "tls_certificate and tls_key must be PEM files of one pair that this user may read"
        yield Check("tls", Level.FAIL, f"the certificate cannot be used ({type(error).__name__})", fix)
    else:
        yield Check("tls", Level.OK, "certificate and key belong together")


def _store(settings: Settings) -> Iterator[Check]:
    scheme, _, rest = settings.store_url.partition(":")
    if scheme in SHARED:
        yield from doctor_stores.postgresql(settings.store_url)
        return
    path = Path(rest)
    if not path.exists():
        yield Check("store", Level.OK, f"{path} will be made at the first start")
        return
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.pragma("schema_version")
        connection.close()
    except apsw.Error as error:
        fix = "if a gateway runs on it this is as it should be; if none does, restore it from a backup"
        level = Level.WARN if isinstance(error, apsw.BusyError) else Level.FAIL
        yield Check("store", level, f"{path} cannot be read ({type(error).__name__})", fix)
    else:
        yield Check("store", Level.OK, f"{path} can be read")


def _models(settings: Settings) -> Iterator[Check]:
    if not settings.deployments:
        yield Check("deployments", Level.WARN, "none is declared", "gateway init writes one for your model")
    try:
        store = model_store(settings)
    except GatewayError as error:
        yield Check("registry", Level.FAIL, str(error), "correct registry")
        return
    registry = registry_of(store)
    for name, spec in settings.specs().items():
        try:
            pinned = store.resolve(spec.stable)
            yield Check(f"{name}: stable", Level.OK, f"{spec.stable} is {pinned}")
            yield from _aliases(name, spec, dict(registry.aliases(spec.model)))
            yield from _admitted(name, spec, store, pinned)
        except ModelUnusable as error:
            fix = "is the registry up, and is stable (and model) named as it is there?"
            yield Check(f"{name}: stable", Level.FAIL, str(error), fix)
        if spec.follow_aliases and isinstance(store, JoblibFolder) and not os.access(store.root / spec.model, os.W_OK):
            fix = "give this user write access, or set follow_aliases: false"
            yield Check(f"{name}: write-back", Level.FAIL, f"{store.root / spec.model} cannot be written to", fix)


def _admitted(name: str, spec: DeploymentSpec, store: ModelStore, pinned: str) -> Iterator[Check]:
    """Fetch stable's artifact, which shows that it can be had, and see whether it may be opened; nothing opens it."""
    with tempfile.TemporaryDirectory(prefix="gateway-doctor-") as into:
        artifact = store.fetch(pinned, into)
        files = read_files(Path(into) / artifact.path)
    try:
        admit(artifact.flavour, files, spec.pickles)
    except ModelUnusable as error:
        yield Check(f"{name}: artifact", Level.FAIL, str(error), "log it as skops or ONNX, or say pickles: allow")
    else:
        size = sum(map(len, files.values())) / 2**20
        yield Check(f"{name}: artifact", Level.OK, f"{pinned} can be fetched ({size:.1f} MiB) and may be opened")


def _aliases(name: str, spec: DeploymentSpec, found: dict[str, str]) -> Iterator[Check]:
    if not spec.follow_aliases:
        if CHALLENGER in found:
            says = f"{CHALLENGER} names version {found[CHALLENGER]}, but nobody follows it"
            yield Check(f"{name}: aliases", Level.WARN, says, "set follow_aliases: true, or clear the alias")
        return
    champion = found.get(CHAMPION, "nothing yet")
    yield Check(
        f"{name}: aliases", Level.OK, f"{CHAMPION} names {champion}, {CHALLENGER} {found.get(CHALLENGER, 'nothing')}"
    )


def _features(settings: Settings) -> Iterator[Check]:
    """Compile what each stable reads, as the agent will; its artifact is fetched for that, and not loaded."""
    if settings.features is None:
        return
    compiler, store = open_compiler(str(settings.features)), model_store(settings)
    for name, spec in settings.specs().items():
        try:
            with tempfile.TemporaryDirectory(prefix="gateway-doctor-") as into:
                service = store.fetch(store.resolve(spec.stable), into).feature_service
            plan = compiler.compile([service] if service else [])
        except GatewayError as error:
            yield Check(f"{name}: features", Level.FAIL, str(error), "correct features, or run feast apply")
            continue
        yield Check(f"{name}: features", Level.OK, f"{service or 'no feature service'} is read by {plan.tier}")
        if plan.tier == "redis":
            yield from doctor_stores.redis(f"{name}: features", plan.location)
        for complaint in complaints(plan):
            says, _, fix = complaint.partition("; ")
            yield Check(f"{name}: features", Level.WARN, says, fix)


def _running(settings: Settings, url: str | None) -> Iterator[Check]:
    try:
        with ControlClient.open(settings, url) as client:
            found = client.get("/admin/deployments")["deployments"]
    except CommandFailed as error:
        fix = "gateway serve" if error.code is Exit.UNREACHABLE else "read the gateway's log"
        yield Check("gateway", Level.WARN, str(error), fix)
        return
    yield Check("gateway", Level.OK, f"serves {len(found)} deployment{'s' if len(found) != 1 else ''}")
    for one in found:
        if one["config_drift"]:
            says = "control state and the file differ; control state is in force"
            yield Check(
                f"{one['deployment']}: drift", Level.WARN, says, "gateway apply --reason ... lets the file hold"
            )
    for missing in sorted(set(settings.deployments) - {one["deployment"] for one in found}):
        yield Check(f"{missing}: serving", Level.FAIL, "is declared and not served", "read the gateway's log for why")


def _clocks(settings: Settings) -> Iterator[Check]:
    if time.time() < 1_700_000_000.0:
        yield Check("clock", Level.FAIL, "this machine's clock is years behind", "set it, or start a time service")
    if not settings.registry.startswith(("http://", "https://")):
        yield Check("clock", Level.OK, f"data time is {settings.clock}'s; no other machine is named to compare with")
        return
    try:
        before = time.time()
        date = httpx.head(settings.registry, timeout=5.0).headers.get("date")
    except httpx.HTTPError:
        return  # that the registry is away has been said
    if date is None:
        return
    yield clock("the registry", parsedate_to_datetime(date).timestamp(), before, time.time())


def _is_mlflow(settings: Settings) -> bool:
    try:
        return isinstance(model_store(settings), MlflowModelStore)
    except GatewayError:
        return False

"""What holds for every test: a clean environment, and no call that leaves this machine through requests."""

import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
import responses

from tests import compiled_once, postgres_server
from tests.databases import database_url, empty_database_url, engine, kept_postgres
from tests.examples import register_profiles

__all__ = ["database_url", "empty_database_url", "engine", "kept_postgres"]

register_profiles()
compiled_once.register()

# Until all is collected: what is imported stays, and to scan it again and again takes longer than many a test.
gc.disable()

COLLECTS_AFTER = 5_000, 20, 20
"""Python's own 700, 10, 10 looks seven times as often through what lives on: a twentieth of all time."""

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores: many tests wait for processes and servers."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """One PostgreSQL server for all workers of a run, and one core for each worker."""
    if hasattr(config, "workerinput"):
        _stay_on_one_core(int(config.workerinput["workerid"].removeprefix("gw")))
    else:
        postgres_server.prepare()


def _stay_on_one_core(worker: int) -> None:
    """A bot hands work to a thread and waits for it: across cores, that takes a fifth more time."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop it, when all workers have ended."""
    if not hasattr(config, "workerinput"):
        postgres_server.stop()


def pytest_collection_finish() -> None:
    """Exempt what is imported and collected from garbage collection, and what little of it is garbage."""
    gc.freeze()
    gc.set_threshold(*COLLECTS_AFTER)
    gc.enable()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes by their number: packed ones hold the time, and every worker has to collect the same names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of one authority: reading the world's takes longer than a cycle, and no test asks any of them."""
    first = re.search(r"-----BEGIN.*?END CERTIFICATE-----\n", certifi.contents(), re.DOTALL)
    assert first is not None
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first[0])
    return path


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of tests without a `tmp_path`, which must not write there."""
    folder = tmp_path_factory.mktemp("empty")
    yield folder
    assert list(folder.iterdir()) == [], "a test without tmp_path wrote into its working directory"


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, empty_folder: Path, one_certificate: Path
) -> None:
    """Keep the machine's settings and proxies out of a test, and its relative paths out of the checkout."""
    # Commands keep their files to themselves, and a test may call one in this process.
    os.umask(0o022)
    monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))
    for name in list(os.environ):
        if name.startswith(("SLACK_", "ANTHROPIC_", "CLAUDE_COST_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # Creating a directory for every test would take longer than many of them.
    has_folder = "tmp_path" in request.fixturenames
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if has_folder else empty_folder)


@pytest.fixture(scope="session", autouse=True)
def no_call_through_requests() -> Iterator[None]:
    """A library that reached out through requests would fail here instead of reaching the internet."""
    with responses.RequestsMock(assert_all_requests_are_fired=False):
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder with real usage data is not beside this checkout")
    return SHARED

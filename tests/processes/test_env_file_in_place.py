"""An env file that can be written and not replaced: one that alone is mounted, or one in a closed directory."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bot.fallback.targets.env_file import EnvFile, is_mount_point, write_in_place

MODE = {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5"}
NORMAL = {"CLAUDE_FALLBACK_MODE": "normal"}

NOBODY = 65534

WRITES = """
import pathlib, sys
from bot.fallback.targets.env_file import EnvFile, EnvFileError
file = EnvFile(pathlib.Path(sys.argv[1]))
try:
    print(file.in_place())
    file.write({"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5", "LONG": "x" * 5000})
    file.write({"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5"})
    print(*file.doubts({"CLAUDE_MODEL": ""}), sep="\\n")
except EnvFileError as error:
    print(error)
"""

can_mount = pytest.mark.skipif(
    os.geteuid() != 0
    or shutil.which("unshare") is None
    or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="mounting takes root",
)


def in_a_container(source: Path, mounted: Path, *options: str) -> str:
    """Output of a bot with `source` mounted at `mounted`, as by `docker run -v source:mounted`."""
    mount = f'mount --bind "{source}" "{mounted}"' + "".join(f' && mount -o {option} "{mounted}"' for option in options)
    script = f'{mount} && exec "{sys.executable}" -c "$0" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, WRITES, str(mounted)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@can_mount
@pytest.mark.parametrize("name", ["fallback.env", "a name with blanks\\.env"])
def test_a_file_that_alone_is_mounted_is_written_in_place_and_says_so(tmp_path: Path, name: str) -> None:
    source = tmp_path / "host.env"
    source.write_text("OTHER=kept\n")
    source.chmod(0o640)
    inode = source.stat().st_ino
    mounted = tmp_path / "data" / name
    mounted.parent.mkdir()
    mounted.touch()
    said = in_a_container(source, mounted)
    assert said.startswith("True\n")
    assert "written in place" in said
    assert "give the bot the directory, not the file alone" in said
    content = source.read_text()
    assert content.startswith("OTHER=kept\n# >>> claude-cost")
    assert content.count("CLAUDE_MODEL=claude-sonnet-5-5\n") == 1
    assert "LONG" not in content
    assert (source.stat().st_ino, source.stat().st_mode & 0o777) == (inode, 0o640)
    assert os.listdir(mounted.parent) == [name]


@can_mount
def test_a_link_to_a_mounted_file_is_followed(tmp_path: Path) -> None:
    source, mounted, link = (tmp_path / name for name in ("host.env", "mounted.env", "link.env"))
    source.touch()
    mounted.touch()
    link.symlink_to(mounted)
    script = f'mount --bind "{source}" "{mounted}" && exec "{sys.executable}" -c "$0" "$1"'
    subprocess.run(["unshare", "-m", "sh", "-c", script, WRITES, str(link)], check=True, capture_output=True)
    assert "CLAUDE_MODEL" in source.read_text()
    assert link.is_symlink()


@can_mount
def test_a_file_that_is_mounted_for_reading_alone_is_refused(tmp_path: Path) -> None:
    source, mounted = tmp_path / "host.env", tmp_path / "mounted.env"
    source.write_text("OTHER=kept\n")
    mounted.touch()
    said = in_a_container(source, mounted, "remount,bind,ro")
    assert said.splitlines()[-1] == (
        f"{mounted} cannot be written, as it is mounted read-only: mount the directory writable."
    )
    assert source.read_text() == "OTHER=kept\n"


@can_mount
def test_in_a_directory_that_is_mounted_the_file_is_replaced_as_ever(tmp_path: Path) -> None:
    source, mounted = tmp_path / "host", tmp_path / "mounted"
    source.mkdir()
    mounted.mkdir()
    (source / "x.env").touch()
    inode = (source / "x.env").stat().st_ino
    script = f'mount --bind "{source}" "{mounted}" && exec "{sys.executable}" -c "$0" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, WRITES, str(mounted / "x.env")]
    # While the old file is open, its number is not given to another one.
    with (source / "x.env").open():
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert said.strip() == "False"
        assert (source / "x.env").stat().st_ino != inode


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_a_file_in_a_closed_directory_is_written_by_whoever_may_write_the_file() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "x.env"
        path.touch()
        os.chown(path, NOBODY, NOBODY)
        child = os.fork()
        if child == 0:
            # A child of this process, since the other user need not be able to read the code.
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            file = EnvFile(path)
            try:
                file.write(MODE)
                os._exit(0 if any("in place" in doubt for doubt in file.doubts(MODE)) else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert EnvFile(path).holds(MODE)
        assert path.stat().st_uid == NOBODY


def test_a_write_in_place_that_fails_puts_the_old_content_back(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_bytes(b"OLD=1\n")
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_in_place(path, b"x" * 5000)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == b"OLD=1\n"


def test_an_ordinary_file_is_no_mount_point(tmp_path: Path) -> None:
    EnvFile(tmp_path / "x.env").write(NORMAL)
    assert not is_mount_point(tmp_path / "x.env")
    assert not EnvFile(tmp_path / "x.env").in_place()
    assert is_mount_point(Path("/proc"))

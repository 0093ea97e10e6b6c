"""The env file under real processes: however and whenever a write ends, a reader finds the old or the new file
whole.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bot.fallback.targets.env_file import EnvFile

NORMAL = {"CLAUDE_FALLBACK_MODE": "normal"}
DEGRADED = {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5", "NOTE": "x" * 20_000}
OURS = "DATABASE=postgres://db\n"
FLIPS = 300
READERS = 3

WATCH = """
import sys, pathlib
path, whole = pathlib.Path(sys.argv[1]), {pathlib.Path(name).read_bytes() for name in sys.argv[2:4]}
print("watching", flush=True)
seen, reads = set(), 0
while not pathlib.Path(sys.argv[4]).exists():
    content = path.read_bytes()
    assert content in whole, content[:200]
    seen.add(content)
    reads += 1
print(reads, len(seen))
"""

DIES = """
import os, sys, pathlib
from bot.fallback.targets.env_file import EnvFile

steps_left = int(sys.argv[2])
watched = ("open", "os.rename", "os.remove", "os.truncate", "os.chmod", "os.chown", "os.mkdir")

def die():
    global steps_left
    if not armed:
        return
    steps_left -= 1
    if steps_left < 0:
        os.kill(os.getpid(), 9)

def before(event, arguments):
    if event in watched:
        die()

def dying(call):
    def step(*arguments):
        die()
        result = call(*arguments)
        die()
        return result
    return step

armed = False
sys.addaudithook(before)
for name in ("fsync", "replace", "fchmod", "fchown", "close"):
    setattr(os, name, dying(getattr(os, name)))
file = EnvFile(pathlib.Path(sys.argv[1]))
armed = True
file.write({"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5", "NOTE": "x" * 20_000})
armed = False
print("done")
"""

FULL_DISK = """
import pathlib, resource, sys
from bot.fallback.targets.env_file import EnvFile, EnvFileError

room = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    EnvFile(pathlib.Path(sys.argv[1])).write({"CLAUDE_FALLBACK_MODE": "degraded", "NOTE": "x" * 30_000})
except EnvFileError as error:
    print(error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "services" / "claude-cost.env"
    path.parent.mkdir()
    path.write_text(OURS)
    return path


def wholes(path: Path) -> tuple[bytes, bytes]:
    """The file under each of the two modes; it stands under the first one afterwards."""
    file = EnvFile(path)
    file.write(DEGRADED)
    degraded = path.read_bytes()
    file.write(NORMAL)
    return path.read_bytes(), degraded


def test_readers_in_other_processes_find_a_whole_file_during_hundreds_of_flips(path: Path, tmp_path: Path) -> None:
    copies = [tmp_path / "normal.whole", tmp_path / "degraded.whole"]
    for copy, content in zip(copies, wholes(path), strict=True):
        copy.write_bytes(content)
    end = tmp_path / "end"
    command = [sys.executable, "-c", WATCH, *map(str, (path, *copies, end))]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(READERS)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "watching\n"
    file = EnvFile(path)
    for flip in range(FLIPS):
        file.write(NORMAL if flip % 2 else DEGRADED)
    end.touch()
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert (reader.returncode, err) == (0, "")
        reads, seen = map(int, out.split())
        assert reads > 10
        assert seen == 2
    assert os.listdir(path.parent) == [path.name]


def test_a_kill_between_any_two_steps_leaves_the_old_or_the_new_whole(path: Path) -> None:
    old, new = wholes(path)
    found: list[bool] = []
    for step in range(100):
        EnvFile(path).write(NORMAL)
        assert path.read_bytes() == old
        child = subprocess.run(
            [sys.executable, "-c", DIES, str(path), str(step)], capture_output=True, text=True, timeout=60
        )
        content = path.read_bytes()
        assert content in (old, new)
        found.append(content == new)
        if child.returncode == 0:
            assert child.stdout == "done\n"
            break
        assert (child.returncode, child.stderr) == (-9, "")
    else:
        pytest.fail("a write had more steps than were looked at")
    assert len(found) > 8
    assert found == sorted(found), "a step after the replacement brought the old file back"
    assert {False, True} == set(found)
    # Leftovers of a killed write do not block later ones.
    EnvFile(path).write(NORMAL)
    assert path.read_bytes() == old


@pytest.mark.parametrize("room", [0, 1, 100, 4096, 20_000])
def test_on_a_full_disk_the_old_file_stays_whole_and_the_failure_is_named(path: Path, room: int) -> None:
    old, _ = wholes(path)
    command = [sys.executable, "-c", FULL_DISK, str(path), str(room)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "cannot be written" in outcome
    assert "CLAUDE_COST_FALLBACK_FILE" in outcome
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]
    EnvFile(path).write(DEGRADED)
    assert EnvFile(path).holds(DEGRADED)


def test_two_processes_that_write_at_once_leave_one_whole_file(path: Path) -> None:
    old, new = wholes(path)
    writer = (
        "import sys,pathlib; from bot.fallback.targets.env_file import EnvFile\n"
        "file = EnvFile(pathlib.Path(sys.argv[1]))\n"
    )
    writer += "for _ in range(100): file.write(eval(sys.argv[2]))"
    running = [
        subprocess.Popen([sys.executable, "-c", writer, str(path), repr(variables)]) for variables in (NORMAL, DEGRADED)
    ]
    ended = threading.Event()
    found: set[bytes] = set()

    def watch() -> None:
        while not ended.is_set():
            found.add(path.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    codes = [process.wait(timeout=60) for process in running]
    ended.set()
    watcher.join()
    assert codes == [0, 0]
    assert found <= {old, new}


HELD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def copies_of(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if name != path.name)


def test_what_killed_writers_have_left_is_removed_once_it_is_old(path: Path) -> None:
    for step in range(100):
        child = subprocess.run([sys.executable, "-c", DIES, str(path), str(step)], capture_output=True, timeout=60)
        if copies_of(path) or child.returncode == 0:
            break
    (left,) = copies_of(path)
    assert left.startswith(f".{path.name}.claude-cost-")
    made = (path.parent / left).stat().st_mtime
    file = EnvFile(path)
    assert file.remove_leftovers(made + 59) == 0
    assert file.remove_leftovers(made - 10**6) == 0
    assert copies_of(path) == [left]
    assert file.remove_leftovers(made + 61) == 1
    assert copies_of(path) == []


def test_a_copy_that_a_living_writer_holds_stays_however_old_it_is(path: Path) -> None:
    copy = path.parent / f".{path.name}.claude-cost-abcd1234.tmp"
    copy.write_text("half")
    with subprocess.Popen([sys.executable, "-c", HELD, str(copy)], stdin=-1, stdout=-1, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "held\n"
        assert EnvFile(path).remove_leftovers(copy.stat().st_mtime + 10**6) == 0
        writer.communicate("")
    assert EnvFile(path).remove_leftovers(copy.stat().st_mtime + 10**6) == 1


def test_nothing_of_anybody_else_is_removed(path: Path, tmp_path: Path) -> None:
    foreign = [
        f".{path.name}.claude-cost-abcd1234.tmp.bak",
        f"{path.name}.claude-cost-abcd1234.tmp",
        f".{path.name}.claude-cost-ABCD1234.tmp",
        f".{path.name}.abcd1234.tmp",
        f".{path.name}.claude-cost-abcd123.tmp",
        f".{path.name}x.claude-cost-abcd1234.tmp",
        ".other.env.claude-cost-abcd1234.tmp",
    ]
    for name in foreign:
        (path.parent / name).write_text("foreign")
    (path.parent / f".{path.name}.claude-cost-aaaaaaaa.tmp").mkdir()
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    (path.parent / f".{path.name}.claude-cost-bbbbbbbb.tmp").symlink_to(theirs)
    (path.parent / f".{path.name}.claude-cost-cccccccc.tmp").hardlink_to(theirs)
    os.mkfifo(path.parent / f".{path.name}.claude-cost-dddddddd.tmp")
    if os.geteuid() == 0:
        other = path.parent / f".{path.name}.claude-cost-eeeeeeee.tmp"
        other.write_text("another user's")
        os.chown(other, 12345, 12345)
    before = copies_of(path)
    assert EnvFile(path).remove_leftovers(theirs.stat().st_mtime + 10**6) == 0
    assert copies_of(path) == before
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_file_is_its_users_alone_and_one_that_is_there_keeps_its_rights(path: Path, umask: int) -> None:
    writer = "import os,sys,pathlib; from bot.fallback.targets.env_file import EnvFile; os.umask(int(sys.argv[2]))\n"
    writer += "EnvFile(pathlib.Path(sys.argv[1])).write({'A': '1'})"
    new = path.with_name("new.env")
    path.chmod(0o644)
    for one in (new, path):
        subprocess.run([sys.executable, "-c", writer, str(one), str(umask)], check=True, timeout=60)
    assert (new.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o600, 0o644)

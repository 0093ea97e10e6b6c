"""The sender when its process forks, ends or is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.applications import environ, eventually
from tests.client.ingest_server import TOKEN, IngestServer

PUT = """
import os, signal, sys, time
from claude_cost_client import UsageSender
def put(sender, name, count=5):
    for number in range(count):
        sender.put({"id": f"msg_{name}_{number}", "model": "claude-opus-5-5", "input_tokens": 1, "output_tokens": 1})
sender = UsageSender()
"""


def run(bot: IngestServer, folder: Path, program: str, check: int = 0, **more: str) -> str:
    variables = environ(
        CLAUDE_COST_URL=bot.url, CLAUDE_COST_INGEST_TOKEN=TOKEN, CLAUDE_COST_SPOOL=str(folder / "spool"), **more
    )
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", PUT + program]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == check, done.stderr
    return done.stdout + done.stderr


def names(bot: IngestServer) -> set[str]:
    return {each["id"].split("_")[1] for each in bot.records}


def test_at_the_exit_everything_is_sent(bot: IngestServer, tmp_path: Path) -> None:
    assert run(bot, tmp_path, "put(sender, 'a', 1200)") == ""
    assert (len(bot.events), bot.repeats) == (1200, 0)


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise SystemExit(3)"])
def test_also_where_the_program_leaves_early(bot: IngestServer, tmp_path: Path, end: str) -> None:
    run(bot, tmp_path, f"put(sender, 'a')\n{end}", check=3)
    assert len(bot.events) == 5


def test_a_bot_that_hangs_holds_up_the_exit_for_a_bounded_time_and_nothing_is_lost(
    bot: IngestServer, tmp_path: Path
) -> None:
    bot.answering.clear()
    program = """
import claude_cost_client.process as process
process.EXIT_SECONDS = 0.3
put(sender, 'a')
while not sender._threads: pass
time.sleep(0.3)
put(sender, 'b')
"""
    run(bot, tmp_path, program)
    bot.answering.set()
    bot.events.clear()
    run(bot, tmp_path, "sender.flush()")
    assert names(bot) == {"a", "b"}


def test_what_was_recorded_before_a_kill_is_sent_by_the_next_process(bot: IngestServer, tmp_path: Path) -> None:
    bot.status = 503
    program = """
put(sender, 'a')
sender.flush()
put(sender, 'b')
sender._store()
os.kill(os.getpid(), signal.SIGKILL)
"""
    run(bot, tmp_path, program, check=-9)
    bot.status = 200
    run(bot, tmp_path, "put(sender, 'c')")
    assert (names(bot), len(bot.events), bot.repeats) == ({"a", "b", "c"}, 15, 0)


def test_a_kill_while_the_bot_answers_loses_nothing_that_was_on_disk(bot: IngestServer, tmp_path: Path) -> None:
    bot.answering.clear()
    variables = environ(
        CLAUDE_COST_URL=bot.url, CLAUDE_COST_INGEST_TOKEN=TOKEN, CLAUDE_COST_SPOOL=str(tmp_path / "spool")
    )
    process = subprocess.Popen([sys.executable, "-c", PUT + "put(sender, 'a')\ntime.sleep(60)"], env=variables)
    eventually(lambda: bot.requests == 1)
    process.kill()
    process.wait()
    bot.answering.set()
    run(bot, tmp_path, "sender.flush()")
    assert len(bot.events) == 5


def test_a_forked_child_sends_its_own_records_and_none_of_its_parents(bot: IngestServer, tmp_path: Path) -> None:
    program = """
put(sender, 'before')
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        put(sender, f'child{number}')
        assert sender.flush(30)
        os._exit(0)
    children.append(child)
    put(sender, f'parent{number}')
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
    run(bot, tmp_path, program)
    assert names(bot) == {"before", *(f"child{n}" for n in range(4)), *(f"parent{n}" for n in range(4))}
    assert (len(bot.events), bot.repeats) == (45, 0)


def test_a_fork_while_the_bot_is_asked_repeats_nothing(bot: IngestServer, tmp_path: Path) -> None:
    bot.answering.clear()
    program = """
put(sender, 'a')
time.sleep(0.5)
put(sender, 'b')
if os.fork() == 0:
    put(sender, 'child')
    sys.exit()
os.wait()
"""
    variables = environ(
        CLAUDE_COST_URL=bot.url, CLAUDE_COST_INGEST_TOKEN=TOKEN, CLAUDE_COST_SPOOL=str(tmp_path / "spool")
    )
    process = subprocess.Popen([sys.executable, "-c", PUT + program], env=variables)
    eventually(lambda: bot.requests >= 2)
    bot.answering.set()
    assert process.wait(60) == 0
    assert (names(bot), len(bot.events), bot.repeats) == ({"a", "b", "child"}, 15, 0)


def test_a_forked_child_keeps_the_files_that_its_program_has_opened(bot: IngestServer, tmp_path: Path) -> None:
    program = """
for attempt in range(3):
    put(sender, f'a{attempt}')
    assert sender.flush(30)
opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(30)]
child = os.fork()
if child == 0:
    for descriptor in opened:
        os.fstat(descriptor)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    run(bot, tmp_path, program)
    assert len(bot.events) == 15


def test_a_child_whose_parent_is_killed_does_not_keep_the_parents_files(bot: IngestServer, tmp_path: Path) -> None:
    bot.status = 503
    program = """
put(sender, 'parent')
sender.flush()
put(sender, 'parent2')
sender._store()
if os.fork() == 0:
    os.setsid()
    os.close(1)
    os.close(2)
    time.sleep(5)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    run(bot, tmp_path, program, check=-9)
    bot.status = 200
    run(bot, tmp_path, "assert sender.flush(20)")
    assert names(bot) == {"parent", "parent2"}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_of_multiprocessing_sends_at_its_end(bot: IngestServer, tmp_path: Path, method: str) -> None:
    program = f"""
import multiprocessing
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=work, args=(number,)) for number in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
"""
    script = tmp_path / "program.py"
    work = "def work(number):\n    put(sender, f'worker{number}')\n"
    script.write_text(PUT + work + program)
    variables = environ(
        CLAUDE_COST_URL=bot.url, CLAUDE_COST_INGEST_TOKEN=TOKEN, CLAUDE_COST_SPOOL=str(tmp_path / "spool")
    )
    subprocess.run([sys.executable, str(script)], env=variables, check=True, timeout=60)
    assert (names(bot), len(bot.events), bot.repeats) == ({"worker0", "worker1", "worker2"}, 15, 0)


def test_a_process_that_may_start_no_thread_sends_at_its_exit(bot: IngestServer, tmp_path: Path) -> None:
    program = """
import threading
def none(self): raise RuntimeError("can't start new thread")
threading.Thread.start = none
put(sender, 'a')
"""
    said = run(bot, tmp_path, program)
    assert said.count("no thread can be started") == 1
    assert len(bot.events) == 5

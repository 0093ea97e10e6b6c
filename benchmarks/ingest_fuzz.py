"""Send random requests to the ingestion routes: valid, broken and hostile ones, more than the tests send.

Three of four go to `POST /v1/usage`, the others to the OTLP routes: requests with a part replaced, damaged protobuf,
and bodies for `/v1/usage`.

    python benchmarks/ingest_fuzz.py [--requests 100000] [--seed 1] [--quick]

Exit code 1 if a response has the wrong status or form, the bot logs a fault, or it uses more than 400 MB of memory.
"""

import argparse
import asyncio
import json
import logging
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.figures import Figure, emit
from benchmarks.ingest_port import port_in
from tests.otlp import counter, logs, metrics, point, record, span, traces
from tests.scenario.random_bodies import Attempt, any_value, attempt, damaged

MOST_MEMORY = 400
KILOBYTES = 1024


JSON, PROTOBUF = "application/json", "application/x-protobuf"
OTLP_STATUSES = frozenset({200, 400, 413, 415})
CALL = {
    "gen_ai.provider.name": "anthropic",
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "claude-sonnet-4-6",
    "gen_ai.response.id": "msg_01A",
    "gen_ai.usage.input_tokens": 420,
    "gen_ai.usage.output_tokens": 50,
    "user.id": "u1",
}


def otlp_attempt(random: Random) -> tuple[str, Attempt]:
    """A signal's path and the next request for it."""
    path = f"/v1/{random.choice(('traces', 'logs', 'metrics'))}"
    like = attempt(random)
    statuses = like.statuses if like.statuses == {401} else OTLP_STATUSES
    if random.randrange(3) == 0:
        return path, Attempt(like.body, like.headers, statuses)
    headers = {"Authorization": like.headers["Authorization"], "Content-Type": JSON}
    if random.randrange(3) == 0:
        body = damaged(random, ParseDict(traces(span(CALL)), ExportTraceServiceRequest()).SerializeToString())
        return path, Attempt(body, {**headers, "Content-Type": PROTOBUF}, statuses)
    event = logs(record(CALL, eventName="claude_code.api_request"), resource={"service.name": "claude-code"})
    count = metrics(counter("claude_code.token.usage", point({"type": "input"}, 5)))
    sent = random.choice((traces(span(CALL)), event, count))
    for _ in range(random.randrange(3)):
        replace_something(random, sent)
    return path, Attempt(json.dumps(sent).encode(), headers, statuses)


def replace_something(random: Random, value: Any) -> None:
    """Replace a random value inside this one, at any depth."""
    while True:
        names = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not names:
            return
        name = random.choice(names)
        if not isinstance(value[name], dict | list) or random.randrange(5) == 0:
            value[name] = any_value(random)
            return
        value = value[name]


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def measure(folder: Path, requests: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Count the statuses and collect what was wrong."""
    random, statuses, wrong = Random(seed), Counter[int](), list[str]()
    async with port_in(folder) as (client, _):
        for number in range(requests):
            path, one = otlp_attempt(random) if number % 4 == 3 else ("/v1/usage", attempt(random))
            answer = await client.post(path, content=one.body, headers=one.headers)
            statuses[answer.status_code] += 1
            forms = (JSON,) if path == "/v1/usage" else (JSON, PROTOBUF)
            if answer.status_code not in one.statuses or not answer.headers.get("content-type", "").startswith(forms):
                wrong.append(f"{number}: {answer.status_code} {answer.text[:200]} for {one.body[:200]!r} {one.headers}")
    return statuses, wrong


def peak() -> float:
    """Peak memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="few, to see that everything runs")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    if words.quick:
        words.requests = 2_000
    faults = _Faults()
    logging.getLogger().addHandler(faults)
    with tempfile.TemporaryDirectory() as folder:
        statuses, wrong = asyncio.run(measure(Path(folder), words.requests, words.seed))
    sys.stderr.writelines(f"{line}\n" for line in (f"statuses {dict(statuses)}", *wrong[:20], *faults.messages[:20]))
    memory = Figure("fuzzed ingestion: most memory of the bot and its sender", peak(), "MB", goal=MOST_MEMORY)
    emit(Figure(f"fuzzed ingestion: wrong answers of {words.requests:,}", len(wrong), "answers", goal=0))
    emit(Figure(f"fuzzed ingestion: faults logged in {words.requests:,}", len(faults.messages), "lines", goal=0))
    emit(memory)
    return 0 if memory.met and not wrong and not faults.messages else 1


if __name__ == "__main__":
    sys.exit(main())

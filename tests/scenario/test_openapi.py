"""The HTTP port answers made-up requests as its description says, and the description names every route."""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import responses
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from requests import PreparedRequest
from requests.auth import AuthBase

from tests.scenario.conftest import World
from tests.scenario.test_ingest import READ, TOKEN, port_of

SPECIFICATION = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
ENDLESS = "/v1/fallback/stream"
EXAMPLES = 12
"""Examples of each operation and kind; `benchmarks` has more."""


class Credentials(AuthBase):
    """The token, and Slack's signature where the request is for Slack's route."""

    def __init__(self, token: str, at: int) -> None:
        self._token = token
        self._at = str(at)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        if (request.url or "").endswith("/slack/events"):
            body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
            at = self._at
            signature = hmac.new(b"secret", b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
            request.headers.update({"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={signature}"})
        return request


def described() -> dict[str, Any]:
    """The description as it stands in docs."""
    found: dict[str, Any] = yaml.safe_load(SPECIFICATION.read_text(encoding="utf-8"))
    return found


async def test_every_route_is_described_and_nothing_else(simulated: World) -> None:
    async with simulated.bot() as bot, port_of(bot, read=READ, slack=True) as port:
        routes = {
            (resource.canonical, route.method.lower())
            for resource in port.app.router.resources()
            for route in resource
            if route.method != "HEAD"
        }
    assert {(path, method) for path, item in described()["paths"].items() for method in item} == routes


@pytest.mark.parametrize("mode", ["positive", "negative"])
async def test_made_up_requests_get_described_answers(simulated: World, mode: str) -> None:
    simulated.spend(120)
    async with simulated.bot() as bot, port_of(bot, read=READ, slack=True) as port:
        await bot.cycle()
        at = int(bot.services.clock().timestamp())
        with responses.RequestsMock(assert_all_requests_are_fired=False) as requests:
            requests.add_passthru("http://127.0.0.1")
            tried = await asyncio.to_thread(try_all, str(port.client.base_url), mode, EXAMPLES, at)
    assert set(tried) > {"/v1/usage", "/v1/traces", "/ofrep/v1/evaluate/flags/{key}", "/slack/events"}


def try_all(url: str, mode: str, examples: int, at: int) -> Mapping[str, int]:
    """Send requests of every operation; returns how many by path. Raises at the first answer that is not described.

    `at`: the bot's time, for signatures.
    """
    # Imported where it is used: it takes a second, which every process would spend that collects the tests.
    import schemathesis

    tried = {}
    found: Any
    for found in schemathesis.openapi.from_dict(described()).get_all_operations():
        operation = found.ok()
        if operation.path != ENDLESS:
            token = TOKEN if "sending" in operation.definition.raw["tags"] else READ
            cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))
            tried[operation.path] = _try(cases, url, Credentials(token, at), examples)
    return tried


def _try(cases: SearchStrategy[Any], url: str, credentials: Credentials, examples: int) -> int:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    tried = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: Any) -> None:
        nonlocal tried
        answer = case.call(base_url=url, auth=credentials, timeout=20)
        case.validate_response(answer, checks=checks)
        tried += 1

    with suppress(Unsatisfiable):  # nothing of a request without parameters can be wrong
        send()
    return tried

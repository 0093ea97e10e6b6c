"""The image and the compose file: what they name exists, versions are pinned, and nothing runs as root."""

import asyncio
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from bot.__main__ import COMMANDS
from bot.config.env_file import SETTINGS
from bot.runner.ending import END_WITHIN_SECONDS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ID = "10001"
PORT = "8080"


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its lines joined; without comments."""
    lines = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def of(word: str) -> list[str]:
    return [rest for each, rest in instructions() if each == word]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return read


def is_pinned(image: str) -> bool:
    """Whether it has a full version, or the version of this project."""
    tag = image.partition("@")[0].rpartition(":")[2]
    return re.match(r"\d+\.\d+", tag) is not None


def test_both_stages_have_one_pinned_base_that_the_project_supports() -> None:
    first, second = of("FROM")
    image = first.removesuffix(" AS build")
    assert image == second
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", image)
    minor = re.match(r"python:(3\.\d+)", image)
    assert minor is not None
    assert f"Programming Language :: Python :: {minor[1]}" in PROJECT["project"]["classifiers"]


def test_everything_from_elsewhere_has_a_hash() -> None:
    installs = [part for run in of("RUN") for part in run.split("&&") if "pip install" in part or "pip wheel" in part]
    assert installs
    assert all("--require-hashes -r" in part or "--no-index" in part for part in installs)
    (wheel,) = [part for part in installs if "pip wheel" in part]
    assert {"--no-build-isolation", "--no-deps"} <= set(wheel.split())
    build = (DEPLOY / "requirements-build.txt").read_text(encoding="utf-8")
    pins = [line for line in build.splitlines() if line and not line.startswith(" ")]
    assert all(re.match(r"[\w-]+==[\w.]+ .*\\$", line) for line in pins)
    assert build.count("--hash=sha256:") >= len(pins)
    (backend,) = PROJECT["build-system"]["requires"]
    assert backend.startswith("hatchling>=")
    assert any(line.startswith("hatchling==") for line in pins)


def test_the_bot_is_nobody_and_writes_to_one_place() -> None:
    assert of("USER")[-1] == f"{ID}:{ID}"
    assert of("WORKDIR")[-1] == of("VOLUME")[-1] == "/data"
    after = DOCKERFILE.rpartition("\nFROM ")[2]
    assert after.index("\nUSER") < after.index("\nENTRYPOINT")
    assert f"install -d -o {ID} -g {ID} -m 0700 /data" in DOCKERFILE


def test_it_starts_the_command_and_sets_what_exists() -> None:
    assert of("ENTRYPOINT") == ['["claude-cost"]']
    assert "claude-cost" in PROJECT["project"]["scripts"]
    assert of("CMD") == ['["run"]']
    assert "run" in COMMANDS
    variables = dict(re.findall(r"(\w+)=(\S+)", of("ENV")[-1]))
    assert {name for name in variables if name.startswith("CLAUDE_COST_")} <= SETTINGS
    assert of("EXPOSE") == [variables["CLAUDE_COST_HTTP_PORT"]] == [PORT]


def test_what_is_copied_exists_and_is_let_in() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert rules[1] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = [word for copy in of("COPY") if not copy.startswith("--from") for word in copy.split()[:-1]]
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert not {".env", ".git", "tests"} & let_in


def test_the_images_of_compose_are_pinned(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert images["claude-cost"] == f"claude-cost:{PROJECT['project']['version']}"
    assert all(is_pinned(image) for image in images.values())


def test_the_bot_alone_needs_no_profile_and_the_rest_has_one(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles") for name, service in compose["services"].items()}
    assert profiles == {"claude-cost": None, "postgres": ["full"], "otel-collector": ["full"]}
    assert all(not each["required"] for each in compose["services"]["claude-cost"]["depends_on"].values())


def test_every_container_is_closed(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    bot = compose["services"]["claude-cost"]
    assert (bot["user"], bot["read_only"], bot["volumes"]) == (f"{ID}:{ID}", True, ["data:/data"])
    assert float(bot["stop_grace_period"].removesuffix("s")) > END_WITHIN_SECONDS
    assert compose["networks"]["inside"]["internal"] is True


def test_files_ports_and_variables_of_compose_are_those_of_the_bot(compose: dict[str, Any]) -> None:
    services = compose["services"]
    bot, collector = services["claude-cost"], services["otel-collector"]
    assert (DEPLOY / bot["build"]["context"]).resolve() == ROOT
    assert (ROOT / bot["build"]["dockerfile"]).is_file()
    assert (DEPLOY / bot["env_file"]).resolve() == ROOT / ".env"
    assert set(bot["environment"]) <= SETTINGS
    assert bot["environment"]["CLAUDE_COST_HTTP_PORT"] == PORT
    mounted = collector["volumes"][0].partition(":")[0]
    receiving = (DEPLOY / mounted).read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{env:(\w+)\}", receiving))
    assert asked == set(collector["environment"])
    assert collector["environment"]["CLAUDE_COST_URL"] == f"http://claude-cost:{PORT}"
    ports = re.findall(r"endpoint: 0\.0\.0\.0:(\d+)", receiving)
    assert [port.rpartition(":")[2] for port in collector["ports"]] == ports
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\bCLAUDE_COST_\w+", text)) <= {*SETTINGS, "CLAUDE_COST_URL"}
    address = re.search(r"postgresql://(\w+):…@(\w+)/(\w+)", text)
    assert address is not None
    user, host, database = address.groups()
    postgres = services["postgres"]["environment"]
    assert (user, database) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"])
    assert host in services


def check(port: int, host: str = "") -> int:
    environ = {"CLAUDE_COST_HTTP_PORT": str(port), "CLAUDE_COST_HTTP_HOST": host, "http_proxy": "http://127.0.0.1:9"}
    script = DEPLOY / "healthcheck.py"
    return subprocess.run([sys.executable, "-I", str(script)], env=environ, check=False, timeout=30).returncode


@pytest.fixture
async def health() -> AsyncIterator[tuple[int, dict[str, int]]]:
    answers = {"status": 200}

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(status=answers["status"])

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1], answers
    await runner.cleanup()


async def test_the_health_check_asks_the_bots_own_port(health: tuple[int, dict[str, int]]) -> None:
    port, answers = health
    assert await asyncio.to_thread(check, port) == 0
    assert await asyncio.to_thread(check, port, "0.0.0.0") == 0
    answers["status"] = 503
    assert await asyncio.to_thread(check, port) == 1
    assert await asyncio.to_thread(check, 1) == 1
    assert "/healthcheck.py" in DOCKERFILE

"""`doctor`: every link of the bot's work is looked at, and each broken one is named with its remedy."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from bot.app import sample_alert
from bot.cli.doctor import Rollups, checks_of
from bot.clock import DAY, system_clock
from bot.db.engine import connect
from bot.db.schema import usage_days
from bot.doctor.anthropic import judge_console_limit
from bot.doctor.check import Check, State, doctor_json, doctor_text, run_checks, title, without_secrets
from bot.doctor.configuration import read_configuration
from bot.doctor.examination import ORDER, judge_clock, judge_rate_card
from bot.doctor.slack import OPTIONAL_SCOPES
from bot.fallback.targets.env_file import BEGIN
from bot.pricing.card import load_rate_card
from bot.sandbox.anthropic_limits import SPEND_LIMITS, SpendLimit
from bot.sandbox.anthropic_server import (
    ADMIN_KEY,
    ANALYTICS_COST,
    ANALYTICS_KEY,
    ANALYTICS_USAGE,
    COST,
    USAGE,
)
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SIGNING_SECRET
from bot.usage.anthropic.limits import ConsoleLimits
from tests.databases import postgres_database
from tests.scenario.conftest import World, world_at
from tests.scenario.forked import ForkServer

OPTIONAL = {*OPTIONAL_SCOPES}
NOWHERE = "http://127.0.0.1:9"


@dataclass(slots=True)
class Clinic:
    """A world with everything that `doctor` looks at, and its findings by name."""

    world: World
    clock: HandClock
    checks: tuple[Check, ...] = field(default=())

    async def examine(self, **changes: str) -> Mapping[str, Check]:
        environ = {name: value for name, value in {**self.world.environ, **changes}.items() if value}
        self.checks = await checks_of(environ, self.clock)
        return {check.name: check for check in self.checks}

    async def one(self, name: str, **changes: str) -> Check:
        return (await self.examine(**changes))[name]


@pytest.fixture
async def clinic(tmp_path: Path, forks: ForkServer) -> AsyncIterator[Clinic]:
    """Before the first start; Slack and Anthropic are well, the Console's limit is at the hard limit."""
    clock = HandClock(system_clock())
    async with world_at(clock, tmp_path) as world:
        world.forks = forks
        world.slack.workspace.scopes |= OPTIONAL
        world.console.limits = [SpendLimit("organization", "20000"), SpendLimit("usage_tier", "100000")]
        yield Clinic(world, clock)


async def poll(clinic: Clinic) -> None:
    async with clinic.world.bot() as bot:
        cycle = await bot.cycle()
    assert cycle.poll is not None
    assert cycle.poll.ok


def states(checks: tuple[Check, ...]) -> dict[str, State]:
    return {check.name: check.state for check in checks}


# ---- the command


async def test_where_all_is_well_every_check_says_so_and_the_exit_code_is_0(clinic: Clinic) -> None:
    assert (await clinic.world.once()).code == 0
    finished = await clinic.world.command("doctor")
    assert (finished.code, finished.err) == (0, "")
    lines = finished.out.splitlines()
    *checks, empty, counts = lines
    assert empty == ""
    assert all(line.startswith("ok ") for line in checks), finished.out
    assert len(checks) == 22
    assert counts == "22 ok, 0 warn, 0 fail, 0 skipped."


async def test_one_failure_is_named_in_the_summary_and_the_exit_code_is_1(clinic: Clinic) -> None:
    clinic.world.slack.workspace.channels[ALERTS].has_bot = False
    finished = await clinic.world.command("doctor")
    assert finished.code == 1
    assert finished.err == ""
    (line,) = [line for line in finished.out.splitlines() if line.startswith("FAIL")]
    assert line.endswith(f"The bot is not in {ALERTS}: type /invite @claude-cost there.")
    assert "\nFailed: alert channel.\n" in finished.out


def test_settings_that_are_wrong_are_named_once_and_counted() -> None:
    checks = [Check("settings", State.FAIL, "One."), Check("rate_card", State.FAIL, "Two.")]
    text = doctor_text([*checks, Check("settings", State.FAIL, "Three.")])
    assert "\nFailed: settings (2), list prices.\n" in text
    assert "rate_card" not in text
    assert doctor_json(checks)["checks"][1]["name"] == "rate_card"


@pytest.mark.parametrize("name", ORDER)
def test_people_read_no_name_with_an_underscore(name: str) -> None:
    assert "_" not in title(Check(name, State.OK, "Well."))


async def test_json_is_one_object_with_the_same_findings(clinic: Clinic) -> None:
    finished = await clinic.world.command("doctor", "--json", CLAUDE_COST_CHANNEL="")
    report = json.loads(finished.out)
    assert finished.code == 1
    assert report["ok"] is False
    assert {tuple(check) for check in report["checks"]} == {("name", "state", "sentence", "remedy")}
    assert {check["name"] for check in report["checks"] if check["state"] == "fail"} == {"settings"}


async def test_sums_are_compared_with_their_rows_on_request_and_made_anew_on_request(clinic: Clinic) -> None:
    async def rollups(wanted: Rollups) -> tuple[State, str]:
        (check,) = [one for one in await checks_of(clinic.world.environ, clinic.clock, wanted) if one.name == "rollups"]
        return check.state, check.text

    clinic.world.spend(12, clinic.clock() - DAY)
    clinic.world.spend(3)
    await poll(clinic)
    well = (State.OK, "Every sum by day equals the rows of usage that it is made of.")
    assert await rollups(Rollups.COMPARE) == well
    engine = connect(clinic.world.environ["CLAUDE_COST_DATABASE_URL"])
    day = (clinic.clock() - DAY).date()
    with engine.begin() as connection:
        connection.execute(delete(usage_days).where(usage_days.c.day == day))
    engine.dispose()
    found = await clinic.world.command("doctor", "--rollups")
    assert found.code == 1
    assert (
        f"The sums of 1 day ({day}) differ from the rows of usage: what is shown of older days may be wrong. "
        "Rebuild them: claude-cost doctor --repair\n"
    ) in found.out
    said = f"The sums of 1 day ({day}) differed from the rows of usage: all sums were rebuilt."
    assert await rollups(Rollups.REPAIR) == (State.OK, said)
    assert await rollups(Rollups.REPAIR) == well
    assert "rollups" not in await clinic.examine()


async def test_without_a_database_there_are_no_sums_to_compare_and_none_is_made(clinic: Clinic) -> None:
    found = await clinic.world.command("doctor", "--repair")
    (line,) = [line for line in found.out.splitlines() if " sums by day " in line]
    assert line.endswith("Not checked: see database.")
    assert not (clinic.world.folder / "claude-cost.db").exists()


async def test_wrong_words_are_refused_with_2(clinic: Clinic) -> None:
    finished = await clinic.world.command("doctor", "everything")
    assert (finished.code, finished.out) == (2, "")


async def test_nothing_set_at_all_is_no_reason_to_give_up(clinic: Clinic) -> None:
    empty = dict.fromkeys(clinic.world.environ, "")
    # The default addresses would be the real ones.
    addresses = {"SLACK_API_URL": f"{NOWHERE}/api/", "ANTHROPIC_BASE_URL": NOWHERE}
    finished = await clinic.world.command("doctor", "--json", **{**empty, **addresses})
    report = json.loads(finished.out)
    failed = " ".join(check["sentence"] for check in report["checks"] if check["state"] == "fail")
    for name in ("SLACK_BOT_TOKEN", "ANTHROPIC_ADMIN_KEY", "CLAUDE_COST_CHANNEL", "CLAUDE_COST_SOFT_USD"):
        assert f"{name} " in failed
    assert [check["name"] for check in report["checks"] if check["state"] == "fail"] == ["settings"] * 4
    assert (finished.code, finished.err) == (1, "")


async def test_looking_leaves_no_trace(clinic: Clinic) -> None:
    before = set(clinic.world.folder.iterdir())
    await clinic.examine()
    assert set(clinic.world.folder.iterdir()) == before
    assert clinic.world.slack.messages == []
    assert {call.method for call in clinic.world.slack.calls} == {
        "auth.test",
        "apps.connections.open",
        "blocks.validate",
        "conversations.info",
    }


async def test_relative_paths_are_shown_as_absolute_ones(clinic: Clinic, tmp_path: Path) -> None:
    relative = {"CLAUDE_COST_DATABASE_URL": "sqlite:///mine.db", "CLAUDE_COST_FALLBACK_FILE": "mine.env"}
    check = await clinic.one("paths", **relative)
    assert f"{tmp_path}/mine.db" in check.sentence
    assert f"{tmp_path}/mine.env" in check.sentence


# ---- settings


async def test_every_mistake_is_reported_and_the_rest_is_examined_all_the_same(clinic: Clinic) -> None:
    found = await clinic.examine(
        CLAUDE_COST_HARD_USD="50",
        CLAUDE_COST_POLL_SECONDS="often",
        SLACK_APP_TOKEN="xoxb-wrong-kind",
        CLAUDE_COST_SOFD_USD="1",
    )
    settings = [check for check in clinic.checks if check.name == "settings"]
    failed = [check.sentence for check in settings if check.state is State.FAIL]
    assert len(failed) == 3
    assert any("CLAUDE_COST_SOFT_USD (100) must be below CLAUDE_COST_HARD_USD (50)" in text for text in failed)
    assert any(text.startswith("CLAUDE_COST_POLL_SECONDS is 'often'") for text in failed)
    assert any(text.startswith("SLACK_APP_TOKEN does not begin with xapp-:") for text in failed)
    (warning,) = [check.sentence for check in settings if check.state is State.WARN]
    assert warning.endswith("did you mean CLAUDE_COST_SOFT_USD?")
    assert found["slack_token"].state is State.OK
    assert found["slack_connection"].state is State.SKIPPED


async def test_what_a_wrong_variable_names_is_not_looked_for_at_the_default_place(clinic: Clinic) -> None:
    found = await clinic.examine(
        SLACK_API_URL="slack", ANTHROPIC_BASE_URL="anthropic", CLAUDE_COST_DATABASE_URL="mysql://x/y"
    )
    assert clinic.world.slack.calls == []
    assert clinic.world.anthropic.requests == []
    assert not found.keys() & {"slack_token", "channel", "anthropic_admin", "database", "lease"}
    assert "database" not in found["paths"].sentence


def test_without_a_way_for_slack_to_reach_it_only_cron_can_run_the_bot() -> None:
    environ = {
        "SLACK_BOT_TOKEN": "xoxb-1",
        "ANTHROPIC_ADMIN_KEY": "key",
        "CLAUDE_COST_CHANNEL": "C1",
        "CLAUDE_COST_HARD_USD": "5",
    }
    (check,) = read_configuration(environ).checks
    assert check.state is State.WARN
    assert check.sentence.startswith("SLACK_APP_TOKEN is missing")


async def test_a_broken_toml_file_is_one_sentence(clinic: Clinic) -> None:
    config = clinic.world.folder / "claude-cost.toml"
    config.write_text("[[budget]]\nname = 1\n")
    check = await clinic.one("settings", CLAUDE_COST_CONFIG=str(config))
    assert check.state is State.FAIL
    assert check.sentence.startswith(f"CLAUDE_COST_CONFIG: {config}: budget.0.name")


# ---- secrets


SECRETS = (BOT_TOKEN, APP_TOKEN, ADMIN_KEY, SIGNING_SECRET, "xoxb-misplaced-1", "sk-ant-misplaced-2", "hunter2hunter2")


async def test_no_secret_is_ever_printed(clinic: Clinic) -> None:
    key_file = clinic.world.folder / "key"
    key_file.write_text("sk-ant-admin01-from-a-file\n")
    changes = [
        {},
        {"SLACK_SIGNING_SECRET": SIGNING_SECRET},
        {"SLACK_BOT_TOKEN": "hunter2hunter2"},
        {"CLAUDE_COST_ADMINS": "xoxb-misplaced-1", "CLAUDE_COST_CHANNEL": "sk-ant-misplaced-2"},
        {"CLAUDE_COST_DATABASE_URL": "postgresql://bot:hunter2hunter2@127.0.0.1:9/bot"},
        {"SLACK_API_URL": "ftp://bot:hunter2hunter2@proxy/api/"},
        {"ANTHROPIC_ADMIN_KEY": "", "ANTHROPIC_ADMIN_KEY_FILE": str(key_file)},
    ]
    for change in changes:
        await clinic.examine(**change)
        for output in (doctor_text(clinic.checks), json.dumps(doctor_json(clinic.checks))):
            assert [secret for secret in (*SECRETS, "from-a-file") if secret in output] == []


NOT_SECRET = st.text(alphabet=" .,:;'\"()…\n-")


@given(st.from_regex(r"[A-Za-z0-9]{6,40}", fullmatch=True), NOT_SECRET, NOT_SECRET)
def test_a_known_secret_never_stays_in_a_finding(secret: str, before: str, after: str) -> None:
    text = before + secret + after
    (check,) = without_secrets([Check("x", State.OK, text, text)], [secret])
    assert check.sentence == check.remedy == f"{before}…{after}"


@pytest.mark.parametrize(
    "text", ["xoxb-1234-abcd", "xapp-1-A0-99-ff", "sk-ant-admin01-AbC_d", "https://me:pw@host/x", "a 'xoxp-99999'."]
)
def test_what_looks_like_a_secret_is_not_shown_either(text: str) -> None:
    (check,) = without_secrets([Check("x", State.OK, text)], [])
    assert "…" in check.sentence
    assert not any(part in check.sentence for part in ("1234", "99", "AbC", "pw"))


# ---- Slack


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("invalid_auth", "Slack refuses SLACK_BOT_TOKEN: copy the Bot User OAuth Token again"),
        ("token_revoked", "SLACK_BOT_TOKEN was revoked"),
        ("internal_error", "Slack has an internal error (internal_error)."),
    ],
)
async def test_a_refused_bot_token_fails_and_nothing_is_made_of_it(clinic: Clinic, error: str, said: str) -> None:
    clinic.world.slack.faults.add("auth.test", Fault("error", error=error))
    found = await clinic.examine()
    assert found["slack_token"].state is State.FAIL
    assert said in found["slack_token"].sentence
    assert {found[name].state for name in ("slack_scopes", "channel", "sample_alert")} == {State.SKIPPED}


async def test_slack_out_of_reach_is_said_without_a_traceback(clinic: Clinic) -> None:
    finished = await clinic.world.command("doctor", SLACK_API_URL=f"{NOWHERE}/api/")
    assert finished.code == 1
    assert finished.err == ""
    assert "Slack cannot be reached (ClientConnectorError)." in finished.out
    assert "\nFailed: Slack token, Slack connection.\n" in finished.out


@pytest.mark.parametrize("fault", [Fault("html", status=502), Fault("not_json"), Fault("status", status=503)])
async def test_a_slack_that_answers_rubbish_is_a_finding_too(clinic: Clinic, fault: Fault) -> None:
    for method in ("auth.test", "apps.connections.open"):
        clinic.world.slack.faults.add(method, fault)
    found = await clinic.examine()
    assert found["slack_token"].state is State.FAIL
    assert found["slack_connection"].state is State.FAIL
    assert "crashed" not in found["slack_token"].sentence + found["slack_connection"].sentence


async def test_a_missing_scope_fails_and_is_named(clinic: Clinic) -> None:
    clinic.world.slack.workspace.scopes.discard("chat:write")
    check = await clinic.one("slack_scopes")
    assert check.state is State.FAIL
    assert check.sentence == "The Slack app lacks the scope chat:write."


async def test_two_scopes_are_enough_and_it_says_what_the_others_would_change(clinic: Clinic) -> None:
    clinic.world.slack.workspace.scopes = {"chat:write", "commands"}
    found = await clinic.examine()
    assert found["slack_scopes"].state is State.OK
    assert all(f"without {scope}, " in found["slack_scopes"].sentence for scope in OPTIONAL)
    assert found["channel"].state is State.SKIPPED
    assert "/claude-cost test-alert" in found["channel"].text


async def test_a_refused_app_token_fails(clinic: Clinic) -> None:
    check = await clinic.one("slack_connection", SLACK_APP_TOKEN="xapp-other")
    assert check.state is State.FAIL
    assert "Slack refuses SLACK_APP_TOKEN (invalid_auth): create an app-level token" in check.sentence


async def test_http_mode_says_where_slack_has_to_reach_the_bot(clinic: Clinic) -> None:
    check = await clinic.one("slack_connection", SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET=SIGNING_SECRET)
    assert check.state is State.OK
    assert "/slack/events on 127.0.0.1:8080" in check.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_archived": True}, f"The channel {ALERTS} is archived"),
        ({"has_bot": False}, f"The bot is not in {ALERTS}"),
        ({"has_bot": False, "is_private": True}, f"The bot can see no channel {ALERTS}"),
    ],
)
async def test_a_channel_that_cannot_be_posted_in_fails(clinic: Clinic, change: dict[str, bool], said: str) -> None:
    for name, value in change.items():
        setattr(clinic.world.slack.workspace.channels[ALERTS], name, value)
    check = await clinic.one("channel")
    assert check.state is State.FAIL
    assert said in check.sentence


async def test_a_private_channel_needs_another_scope_to_be_seen(clinic: Clinic) -> None:
    clinic.world.slack.workspace.channels[ALERTS].is_private = True
    check = await clinic.one("channel")
    assert check.state is State.SKIPPED
    assert "groups:read" in check.sentence


async def test_with_chat_write_public_the_bot_need_not_be_in_a_public_channel(clinic: Clinic) -> None:
    clinic.world.slack.workspace.channels[ALERTS].has_bot = False
    clinic.world.slack.workspace.scopes.add("chat:write.public")
    assert (await clinic.one("channel")).state is State.OK


async def test_an_alert_that_slack_would_not_draw_is_a_warning(clinic: Clinic) -> None:
    clinic.world.slack.faults.add("blocks.validate", Fault("error", error="invalid_blocks"), times=2)
    check = await clinic.one("sample_alert")
    assert check.state is State.WARN
    assert "alerts arrive as plain text" in check.sentence


async def test_where_slack_folds_nothing_the_doctor_says_where_the_details_are(clinic: Clinic) -> None:
    clinic.world.slack.faults.add("blocks.validate", Fault("error", error="invalid_blocks"))
    check = await clinic.one("sample_alert")
    assert check.state is State.OK
    assert "the details of alerts go to their threads" in check.sentence


async def test_where_slack_does_not_check_blocks_that_is_no_fault(clinic: Clinic) -> None:
    clinic.world.slack.faults.add("blocks.validate", Fault("error", error="unknown_method"))
    assert (await clinic.one("sample_alert")).state is State.SKIPPED


def test_the_sample_is_an_alert_as_slack_takes_it() -> None:
    message = sample_alert(datetime(2026, 11, 23, tzinfo=UTC))
    assert problems(message.blocks, "message") == []
    assert "hard limit" in message.text
    assert {block["type"] for block in message.blocks} == {"header", "section", "actions", "container", "context"}


# ---- admins


async def test_where_nobody_is_an_admin_that_is_a_warning(clinic: Clinic) -> None:
    check = await clinic.one("admins", CLAUDE_COST_ADMINS="")
    assert check.state is State.WARN
    assert "CLAUDE_COST_ADMINS" in check.sentence


async def test_groups_whose_members_cannot_be_read_are_named_with_the_reason(clinic: Clinic) -> None:
    workspace = clinic.world.slack.workspace
    workspace.usergroups = {"S0OPS": ["U0ADMIN"]}
    assert (await clinic.one("admins", CLAUDE_COST_ADMINS="S0OPS")).state is State.OK
    gone = await clinic.one("admins", CLAUDE_COST_ADMINS="S0OPS,S0GONE")
    assert gone.state is State.WARN
    assert "Slack knows no user group S0GONE" in gone.sentence
    workspace.scopes.discard("usergroups:read")
    without = await clinic.one("admins", CLAUDE_COST_ADMINS="U0ADMIN,S0OPS")
    assert without.state is State.WARN
    assert "the members of S0OPS could not be read: that needs the optional scope usergroups:read" in without.sentence


# ---- Anthropic


async def test_an_analytics_key_is_enough(clinic: Clinic) -> None:
    found = await clinic.examine(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY)
    assert found["anthropic_analytics"].state is State.OK
    assert found["anthropic_admin"].state is State.SKIPPED
    assert found["anthropic_admin"].sentence.endswith("need not: the bot reads the analytics API.")
    assert found["cost_report"].state is State.OK
    assert found["console_limit"].state is State.SKIPPED
    assert "Set a monthly limit of at most $200.00 in Anthropic's Console" in found["console_limit"].text


async def test_an_api_that_was_chosen_has_to_answer(clinic: Clinic) -> None:
    found = await clinic.examine(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY, CLAUDE_COST_USAGE_API="admin")
    assert found["anthropic_admin"].state is State.FAIL
    assert "use an Admin key" in found["anthropic_admin"].sentence
    assert found["anthropic_analytics"].state is State.SKIPPED
    assert found["cost_report"].state is State.SKIPPED


async def test_a_refused_key_fails_for_both(clinic: Clinic) -> None:
    found = await clinic.examine(ANTHROPIC_ADMIN_KEY="sk-ant-nobody")
    assert found["anthropic_analytics"].state is State.FAIL
    assert found["anthropic_admin"].state is State.FAIL
    assert "(HTTP 401)" in found["anthropic_admin"].sentence


async def test_a_key_with_characters_that_no_key_has_is_not_sent(clinic: Clinic) -> None:
    check = await clinic.one("anthropic_admin", ANTHROPIC_ADMIN_KEY="sk-ant-“curly”")
    assert "characters that no key has" in check.sentence
    assert clinic.world.anthropic.requests == []


async def test_anthropic_out_of_reach_is_said_without_a_traceback(clinic: Clinic) -> None:
    finished = await clinic.world.command("doctor", ANTHROPIC_BASE_URL=NOWHERE)
    assert (finished.code, finished.err) == (1, "")
    assert "Anthropic cannot be reached (ConnectError)." in finished.out
    assert "\nFailed: analytics API, admin API.\n" in finished.out


async def test_each_read_is_tiny_and_made_once(clinic: Clinic) -> None:
    for path in (USAGE, COST, ANALYTICS_USAGE, ANALYTICS_COST, SPEND_LIMITS):
        clinic.world.anthropic.faults.add(path, Fault("status", status=503))
    found = await clinic.examine()
    paths = [path for path, _ in clinic.world.anthropic.requests]
    assert sorted(paths) == sorted([USAGE, COST, ANALYTICS_USAGE, ANALYTICS_COST, SPEND_LIMITS])
    usage = dict(next(query for path, query in clinic.world.anthropic.requests if path == USAGE))
    assert usage["limit"] == "1"
    assert "fault of its own" in found["anthropic_admin"].sentence


async def test_analytics_that_is_too_far_behind_is_only_a_fault_where_nothing_else_serves(clinic: Clinic) -> None:
    clinic.world.anthropic.analytics_behind = timedelta(hours=2)
    auto = await clinic.examine()
    assert auto["anthropic_analytics"].state is State.OK
    assert "the bot reads the admin API" in auto["anthropic_analytics"].sentence
    alone = await clinic.examine(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY)
    assert alone["anthropic_analytics"].state is State.WARN


async def test_a_cost_report_that_cannot_be_read_leaves_only_computed_spend(clinic: Clinic) -> None:
    clinic.world.anthropic.faults.add(ANALYTICS_COST, Fault("status", status=403))
    check = await clinic.one("cost_report")
    assert check.state is State.WARN
    assert "computed from list prices" in check.sentence


# ---- the limit that stops requests


@pytest.mark.parametrize(
    ("limits", "state", "said"),
    [
        ([SpendLimit("organization", "20000")], State.OK, "stops requests at $200.00 a month; the hard limit is $200"),
        ([SpendLimit("organization", "20001")], State.WARN, "$200.01 a month, which is above the hard limit of $200"),
        ([SpendLimit("organization", None)], State.WARN, "No monthly spend limit is set"),
        ([SpendLimit("organization", "100", is_enabled=False)], State.WARN, "No monthly spend limit is set"),
        ([SpendLimit("organization", "100", period="daily")], State.WARN, "No monthly spend limit is set"),
        ([SpendLimit("workspace", "100", workspace_id="wrkspc_1")], State.WARN, "nothing stops requests."),
        ([SpendLimit("usage_tier", "100000")], State.WARN, "short of Anthropic's own cap of $1,000.00 a month"),
    ],
)
async def test_the_consoles_limit_is_held_against_the_hard_limit(
    clinic: Clinic, limits: list[SpendLimit], state: State, said: str
) -> None:
    clinic.world.console.limits = limits
    check = await clinic.one("console_limit")
    assert check.state is state
    assert said in check.sentence
    if state is State.WARN:
        assert "of at most $200.00 in Anthropic's Console (Settings, Billing)" in check.text


async def test_where_the_limits_cannot_be_read_it_says_where_to_set_one(clinic: Clinic) -> None:
    clinic.world.console.open_to_us = False
    check = await clinic.one("console_limit")
    assert check.state is State.SKIPPED
    assert "Console (Settings, Billing): it alone stops requests." in check.text


async def test_limits_on_several_pages_are_all_read(clinic: Clinic) -> None:
    clinic.world.console.limits = [SpendLimit("workspace", "1", workspace_id=f"wrkspc_{n}") for n in range(45)]
    clinic.world.console.limits.append(SpendLimit("organization", "15000"))
    assert "$150.00" in (await clinic.one("console_limit")).sentence


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_console_limit_is_well_exactly_up_to_the_hard_one(own_cents: int, hard_cents: int) -> None:
    own, hard = Decimal(own_cents) / 100, Decimal(hard_cents) / 100
    check = judge_console_limit(ConsoleLimits(own, None), hard)
    assert (check.state is State.OK) == (own <= hard)


# ---- what the bot remembers


async def test_before_the_first_start_there_is_nothing_to_read(clinic: Clinic) -> None:
    found = await clinic.examine()
    assert found["database"].state is State.OK
    assert "the first start creates it" in found["database"].sentence
    assert {found[name].state for name in ("lease", "freshness", "outbox")} == {State.SKIPPED}
    assert found["fallback_file"].state is State.OK


async def test_a_database_in_a_missing_directory_fails(clinic: Clinic) -> None:
    url = f"sqlite:///{clinic.world.folder}/gone/claude-cost.db"
    check = await clinic.one("database", CLAUDE_COST_DATABASE_URL=url)
    assert check.state is State.FAIL
    assert f"there is no directory {clinic.world.folder}/gone" in check.sentence


async def test_a_file_that_is_no_database_fails(clinic: Clinic) -> None:
    (clinic.world.folder / "claude-cost.db").write_text("no database, " * 100)
    found = await clinic.examine()
    assert found["database"].state is State.FAIL
    assert "file is not a database" in found["database"].sentence
    assert found["freshness"].state is State.SKIPPED


@pytest.mark.parametrize(
    ("revision", "state", "said"),
    [
        ("0001", State.WARN, "the schema 0001 of an older version"),
        ("9999", State.FAIL, "a newer version of the bot has migrated (revision 9999): update the bot"),
    ],
)
async def test_a_schema_of_another_version_is_reported_and_left_as_it_is(
    clinic: Clinic, revision: str, state: State, said: str
) -> None:
    await poll(clinic)
    set_revision(clinic, revision)
    for _ in range(2):
        check = await clinic.one("database")
        assert check.state is state
        assert said in check.sentence


def set_revision(clinic: Clinic, revision: str) -> None:
    engine = connect(clinic.world.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    engine.dispose()


async def test_an_unreachable_database_server_fails(clinic: Clinic) -> None:
    check = await clinic.one("database", CLAUDE_COST_DATABASE_URL="postgresql://bot@127.0.0.1:9/bot")
    assert check.state is State.FAIL
    assert "CLAUDE_COST_DATABASE_URL" in check.sentence


async def test_another_copy_that_is_alive_is_fine_and_said(clinic: Clinic) -> None:
    await poll(clinic)
    assert "No copy of the bot is alive" in (await clinic.one("lease")).sentence
    async with clinic.world.bot() as bot:
        assert bot.leads()
        check = await clinic.one("lease")
        assert check.state is State.OK
        assert "A copy of the bot is alive" in check.sentence
        assert bot.leads()


async def test_on_postgresql_a_copy_that_is_alive_is_noticed_as_well(clinic: Clinic) -> None:
    with postgres_database() as url:
        clinic.world.environ["CLAUDE_COST_DATABASE_URL"] = url.replace("+psycopg", "")
        empty = await clinic.one("database")
        assert empty.sentence == "The database opens and is empty: the first start creates its tables."
        await poll(clinic)
        assert "No copy of the bot is alive" in (await clinic.one("lease")).sentence
        async with clinic.world.bot() as bot:
            assert bot.leads()
            found = await clinic.examine()
        assert found["database"].state is State.OK
        assert "A copy of the bot is alive" in found["lease"].sentence


async def test_an_owner_that_gives_no_sign_of_life_is_warned_of_at_once(clinic: Clinic) -> None:
    with postgres_database() as url:
        clinic.world.environ["CLAUDE_COST_DATABASE_URL"] = url.replace("+psycopg", "")
        async with clinic.world.bot():
            pass
        engine = connect(url)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE lease SET owner = 'x', host = 'lost', pid = 7, version = '1', "
                "renewed_at = now() - interval '40 seconds'"
            )
        engine.dispose()
        check = await clinic.one("lease")
    assert check.state is State.WARN
    assert check.text.startswith(
        "The copy of the bot that polls (host lost, process 7, version 1) has given no sign of"
    )


async def test_a_lock_file_that_cannot_be_used_is_a_warning_and_no_more(clinic: Clinic) -> None:
    (clinic.world.folder / "claude-cost.db.lock").mkdir()
    await poll(clinic)
    check = await clinic.one("lease")
    assert check.state is State.WARN
    assert check.sentence.startswith("No copy of the bot is alive on this database")
    assert check.sentence.endswith("Delete it, or correct its owner and its rights.")


async def test_stale_data_is_a_fault_only_of_a_bot_that_is_alive(clinic: Clinic) -> None:
    await poll(clinic)
    assert (await clinic.one("freshness")).state is State.OK
    clinic.clock.advance(timedelta(minutes=16))
    stopped = await clinic.one("freshness")
    assert stopped.state is State.WARN
    assert stopped.text.endswith("16 min old, from the analytics API. That is stale. Start the bot.")
    async with clinic.world.bot() as bot:
        assert bot.leads()
        assert (await clinic.one("freshness")).state is State.FAIL


async def test_a_failing_poll_is_quoted(clinic: Clinic) -> None:
    for path in (USAGE, ANALYTICS_USAGE):
        clinic.world.anthropic.faults.add(path, Fault("status", status=403))
    async with clinic.world.bot() as bot:
        await bot.cycle()
    check = await clinic.one("freshness")
    assert check.state is State.FAIL
    assert check.sentence.startswith("No poll has succeeded yet: Anthropic refuses ANTHROPIC_ADMIN_KEY")


async def test_a_message_that_waits_is_reported_with_its_reason(clinic: Clinic) -> None:
    clinic.world.spend(150)
    clinic.world.slack.workspace.channels[ALERTS].is_archived = True
    await poll(clinic)
    check = await clinic.one("outbox")
    assert check.state is State.FAIL
    assert check.sentence.startswith(f"2 messages wait for delivery to Slack: The channel {ALERTS} is archived")


async def test_a_further_destination_that_takes_nothing_is_reported(clinic: Clinic) -> None:
    config = clinic.world.folder / "claude-cost.toml"
    config.write_text('[[destination]]\nname = "hook"\nurl = "json://127.0.0.1:9/hunter2hunter2"\n')
    changes = {"CLAUDE_COST_CONFIG": str(config)}
    async with clinic.world.bot(**changes) as bot:
        await bot.cycle()
        well = await clinic.one("destinations", **changes)
        clinic.world.spend(150)
        await bot.cycle()
        await bot.destinations.settled()
    ill = await clinic.one("destinations", **changes)
    assert (well.state, ill.state) == (State.OK, State.FAIL)
    assert "(hook)" in well.sentence
    assert ill.sentence.startswith("1 alert waits for hook, because there is no connection to it")
    assert "hunter2" not in doctor_text(clinic.checks)


# ---- the fallback file


async def test_the_fallback_file_is_held_against_the_stored_mode(clinic: Clinic) -> None:
    async with clinic.world.bot() as bot:
        services = bot.services
        await bot.cycle()
        services.fallback.switch(services.fallback.modes["degraded"], "U0ADMIN", "too dear", (), None)
    file = clinic.world.fallback_file
    good = await clinic.one("fallback_file")
    assert good.state is State.OK
    assert good.sentence.endswith("holds the mode degraded.")
    written = file.read_text()

    file.write_text(written.replace("degraded", "minimal"))
    other = await clinic.one("fallback_file")
    assert other.state is State.WARN
    assert "does not hold the mode degraded" in other.sentence

    file.write_text(f"CLAUDE_MODEL=claude-opus-5-5\n{written}")
    overridden = await clinic.one("fallback_file")
    assert overridden.state is State.WARN
    assert "other lines of it set CLAUDE_MODEL too" in overridden.sentence

    file.write_bytes(BEGIN + b"\n")
    damaged = await clinic.one("fallback_file")
    assert damaged.state is State.FAIL
    assert "damaged managed block" in damaged.sentence


async def test_a_fallback_file_without_a_directory_fails(clinic: Clinic) -> None:
    path = clinic.world.folder / "gone" / "x.env"
    check = await clinic.one("fallback_file", CLAUDE_COST_FALLBACK_FILE=str(path))
    assert check.state is State.FAIL
    assert f"there is no directory {path.parent}" in check.sentence


# ---- the machine


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, State.OK), (29, State.OK), (-60, State.WARN), (90, State.WARN), (-400, State.FAIL)]
)
async def test_the_machines_clock_is_held_against_the_dates_of_answers(
    clinic: Clinic, seconds: int, state: State
) -> None:
    clinic.clock.now = system_clock() + timedelta(seconds=seconds)
    check = await clinic.one("clock")
    assert check.state is state
    if state is not State.OK:
        assert ("ahead of" if seconds > 0 else "behind") in check.sentence


async def test_without_an_answer_the_clock_is_not_judged(clinic: Clinic) -> None:
    check = await clinic.one("clock", SLACK_API_URL=f"{NOWHERE}/api/", ANTHROPIC_BASE_URL=NOWHERE)
    assert check.state is State.SKIPPED


@given(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000))
def test_the_clock_is_judged_by_the_larger_difference(slack: int, anthropic: int) -> None:
    check = judge_clock({"Slack": timedelta(seconds=slack), "Anthropic": timedelta(seconds=anthropic)})
    worst = max(abs(slack), abs(anthropic))
    assert check.state is (State.FAIL if worst > 300 else State.WARN if worst > 30 else State.OK)


def test_old_prices_are_a_warning() -> None:
    card = load_rate_card()
    checked = datetime.combine(card.checked_on, datetime.min.time(), UTC)
    assert judge_rate_card(card, lambda: checked + 90 * DAY).state is State.OK
    assert judge_rate_card(card, lambda: checked + 91 * DAY).state is State.WARN


# ---- the checks themselves


async def test_a_check_that_hangs_or_breaks_fails_and_holds_up_no_other() -> None:
    async def hangs() -> list[Check]:
        await asyncio.Event().wait()
        return []

    async def breaks() -> list[Check]:
        raise KeyError("unforeseen")

    async def works() -> list[Check]:
        return [Check("c", State.OK, "Well.")]

    found = await run_checks({"a": hangs(), "b": breaks(), "c": works()}, seconds=0.01)
    assert [(check.name, check.state) for check in found] == [
        ("a", State.FAIL),
        ("b", State.FAIL),
        ("c", State.OK),
    ]
    assert found[1].sentence == "The check crashed (KeyError)."


def test_a_finding_stays_on_its_line_whatever_it_quotes() -> None:
    text = doctor_text([Check("x", State.WARN, "one\ntwo\x1b[31m", "three"), Check("long_name", State.OK, "Well.")])
    assert text.splitlines() == [
        "WARN     x          one two [31m three",
        "ok       long name  Well.",
        "",
        "Warnings: x.",
        "1 ok, 1 warn, 0 fail, 0 skipped.",
    ]


# ---- in Slack


async def test_slack_gets_the_same_findings_with_the_failures_first(clinic: Clinic) -> None:
    async with clinic.world.connected_bot() as bot:
        await bot.cycle()
        well = await (await clinic.world.slack.command("doctor")).first_reply(20)
        assert "Failed" not in well.text
        assert "· running copy: A copy of the bot is alive" in well.text
        assert "Data as of " in well.text
        clinic.world.slack.workspace.channels[ALERTS].is_archived = True
        ill = await (await clinic.world.slack.command("doctor", "U0DEV")).first_reply(20)
    first, _, second, *_ = ill.text.splitlines()
    assert first == "Failed: alert channel."
    assert second.startswith(f"FAIL · alert channel: The channel {ALERTS} is archived")
    assert problems(ill.blocks, "message") == []
    assert clinic.world.posts() == []
    for secret in SECRETS:
        assert secret not in ill.text


async def test_what_slack_says_of_itself_is_no_markup_in_the_answer(clinic: Clinic) -> None:
    clinic.world.slack.workspace.users["U0BOT"] = "<!channel>"
    async with clinic.world.connected_bot():
        reply = await (await clinic.world.slack.command("doctor")).first_reply(20)
    assert "&lt;!channel&gt;" in reply.text
    assert "<!channel>" not in reply.text + json.dumps(reply.blocks)

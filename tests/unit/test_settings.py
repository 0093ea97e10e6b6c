"""Settings: what is read, what is assumed, and one sentence for every mistake."""

import logging
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import LEVELS, AlertKind
from bot.alerts.rules import AlertRules, DetectorRules, DriftRules, ForecastRules, SpikeRules
from bot.amounts import usd_amount
from bot.budgets.budget import LimitKind, PeriodKind, Scope, ScopeKind, Weekday
from bot.config.environment import VARIABLES
from bot.config.settings import Need, Settings, SettingsError, load_settings, log_settings
from bot.display import Display
from bot.doctor.check import State
from bot.doctor.configuration import read_configuration, secrets_in
from bot.doctor.database import shown_database
from bot.fallback.auto import FallbackRules

COMPLETE = {
    "SLACK_BOT_TOKEN": "xoxb-secret-bot",
    "SLACK_APP_TOKEN": "xapp-secret-app",
    "ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-secret",
    "CLAUDE_COST_CHANNEL": "C0123456789",
    "CLAUDE_COST_SOFT_USD": "400",
    "CLAUDE_COST_HARD_USD": "600.50",
}


def load(need: Need = Need.RUN, /, **changes: str | None) -> Settings:
    environ = {name: value for name, value in {**COMPLETE, **changes}.items() if value is not None}
    return load_settings(environ, need)


def test_the_shortest_configuration_makes_the_monthly_budget_named_default() -> None:
    settings = load()
    (budget,) = settings.budgets
    assert (budget.name, budget.period, str(budget.scope)) == ("default", PeriodKind.MONTH, "organization")
    assert (budget.soft_usd, budget.hard_usd) == (Decimal(400), Decimal("600.5"))
    assert settings.poll_seconds == 60
    assert settings.usage_api == "auto"
    assert settings.slack_api_url == "https://slack.com/api/"
    assert settings.http_port is None


def test_relative_paths_become_absolute(tmp_path: Path) -> None:
    settings = load()
    assert settings.fallback_file == tmp_path / "claude-cost.env"
    assert settings.database_url == f"sqlite:///{tmp_path}/claude-cost.db"


def test_http_mode_opens_port_8080_and_socket_mode_none() -> None:
    assert load(SLACK_APP_TOKEN=None, SLACK_SIGNING_SECRET="s").http_port == 8080
    assert load(CLAUDE_COST_HTTP_PORT="9000").http_port == 9000


def test_once_needs_no_way_for_slack_to_reach_the_bot() -> None:
    assert load(Need.RUN_ONCE, SLACK_APP_TOKEN=None).slack_app_token is None


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-ant-from-file\n")
    settings = load(ANTHROPIC_ADMIN_KEY=None, ANTHROPIC_ADMIN_KEY_FILE=str(tmp_path / "key"))
    assert settings.anthropic_admin_key is not None
    assert settings.anthropic_admin_key.get_secret_value() == "sk-ant-from-file"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(CLAUDE_COST_POLL_SECONDS="").poll_seconds == 60


MISTAKES: list[tuple[dict[str, str | None], str]] = [
    ({"SLACK_BOT_TOKEN": None}, "SLACK_BOT_TOKEN"),
    ({"SLACK_BOT_TOKEN": "xapp-swapped"}, "SLACK_BOT_TOKEN"),
    ({"SLACK_APP_TOKEN": "xoxb-swapped"}, "SLACK_APP_TOKEN"),
    ({"SLACK_APP_TOKEN": None}, "SLACK_SIGNING_SECRET"),
    ({"ANTHROPIC_ADMIN_KEY": None}, "ANTHROPIC_ADMIN_KEY"),
    ({"ANTHROPIC_ADMIN_KEY_FILE": "/nowhere"}, "ANTHROPIC_ADMIN_KEY_FILE"),  # both forms at once
    ({"ANTHROPIC_ADMIN_KEY": None, "ANTHROPIC_ADMIN_KEY_FILE": "/nowhere"}, "ANTHROPIC_ADMIN_KEY_FILE"),
    ({"CLAUDE_COST_CHANNEL": None}, "CLAUDE_COST_CHANNEL"),
    ({"CLAUDE_COST_CHANNEL": "#alerts"}, "CLAUDE_COST_CHANNEL"),
    ({"CLAUDE_COST_CHANNEL": "alerts"}, "CLAUDE_COST_CHANNEL"),
    ({"CLAUDE_COST_SOFT_USD": None, "CLAUDE_COST_HARD_USD": None}, "CLAUDE_COST_HARD_USD"),
    ({"CLAUDE_COST_SOFT_USD": "600.50"}, "CLAUDE_COST_SOFT_USD"),  # not below hard
    ({"CLAUDE_COST_SOFT_USD": "much"}, "CLAUDE_COST_SOFT_USD"),
    ({"CLAUDE_COST_SOFT_USD": "0"}, "CLAUDE_COST_SOFT_USD"),
    ({"CLAUDE_COST_SOFT_USD": "-5"}, "CLAUDE_COST_SOFT_USD"),
    ({"CLAUDE_COST_HARD_USD": "NaN"}, "CLAUDE_COST_HARD_USD"),
    ({"CLAUDE_COST_POLL_SECONDS": "0"}, "CLAUDE_COST_POLL_SECONDS"),
    ({"CLAUDE_COST_POLL_SECONDS": "3601"}, "CLAUDE_COST_POLL_SECONDS"),
    ({"CLAUDE_COST_POLL_SECONDS": "1.5"}, "CLAUDE_COST_POLL_SECONDS"),
    ({"CLAUDE_COST_USAGE_API": "both"}, "CLAUDE_COST_USAGE_API"),
    ({"CLAUDE_COST_LANGUAGE": "fr"}, "CLAUDE_COST_LANGUAGE"),
    ({"CLAUDE_COST_LOG_FORMAT": "xml"}, "CLAUDE_COST_LOG_FORMAT"),
    ({"CLAUDE_COST_LOG_LEVEL": "DEBUG"}, "CLAUDE_COST_LOG_LEVEL"),
    ({"CLAUDE_COST_TRACES": "yes"}, "CLAUDE_COST_TRACES"),
    ({"CLAUDE_COST_DATABASE_URL": "mysql://x/y"}, "CLAUDE_COST_DATABASE_URL"),
    ({"CLAUDE_COST_DATABASE_URL": "sqlite:///:memory:"}, "CLAUDE_COST_DATABASE_URL"),
    ({"CLAUDE_COST_FALLBACK_CHAIN": "claude-opus-5-5"}, "CLAUDE_COST_FALLBACK_CHAIN"),
    ({"CLAUDE_COST_FALLBACK_CHAIN": "claude-haiku-5-5,claude-sonnet-5-5"}, "CLAUDE_COST_FALLBACK_CHAIN"),
    ({"CLAUDE_COST_SOFT_USD": "499,50"}, "CLAUDE_COST_SOFT_USD"),
    ({"CLAUDE_COST_DATABASE_URL": None, "CLAUDE_COST_DATABASE_URL_FILE": "/nowhere"}, "CLAUDE_COST_DATABASE_URL_FILE"),
    ({"CLAUDE_COST_ADMINS": "anna"}, "CLAUDE_COST_ADMINS"),
    ({"CLAUDE_COST_HTTP_PORT": "70000"}, "CLAUDE_COST_HTTP_PORT"),
    ({"SLACK_API_URL": "slack.com"}, "SLACK_API_URL"),
    ({"ANTHROPIC_BASE_URL": "ftp://x"}, "ANTHROPIC_BASE_URL"),
    ({"CLAUDE_COST_CONFIG": "/nowhere.toml"}, "CLAUDE_COST_CONFIG"),
]


@pytest.mark.parametrize(("changes", "named"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_one_sentence_that_names_the_variable(changes: dict[str, str | None], named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(**changes)
    sentence = str(raised.value)
    assert named in sentence
    assert "\n" not in sentence
    assert sentence.endswith((".", ")"))


@pytest.mark.parametrize("changes", [changes for changes, _ in MISTAKES], ids=lambda value: str(value)[:60])
def test_no_mistake_prints_a_secret(changes: dict[str, str | None]) -> None:
    with pytest.raises(SettingsError) as raised:
        load(**changes)
    for variable in VARIABLES:
        secret = {**COMPLETE, **changes}.get(variable.name)
        assert not (variable.secret and secret and secret in str(raised.value))


def test_settings_print_without_their_secrets() -> None:
    printed = repr(load())
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "ANTHROPIC_ADMIN_KEY"):
        assert COMPLETE[name] not in printed


def test_a_misspelled_variable_is_warned_of_with_the_nearest_name(caplog: pytest.LogCaptureFixture) -> None:
    load(CLAUDE_COST_ADMIN="U1")
    assert "CLAUDE_COST_ADMIN is not a setting" in caplog.text
    assert "did you mean CLAUDE_COST_ADMINS?" in caplog.text


@pytest.mark.parametrize(
    ("written", "usd"),
    [
        ("500", "500"),
        ("499.50", "499.5"),
        ("$500", "500"),
        ("1,000", "1000"),
        ("1_000", "1000"),
        ("$1,234,567.89", "1234567.89"),
        ("0.500", "0.5"),
    ],
)
def test_an_amount_is_read_as_people_write_it(written: str, usd: str) -> None:
    assert usd_amount(written) == Decimal(usd)


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("499,50", "write 499.50, with a point"),
        ("0,5", "write 0.5, with a point"),
        ("1.000", "write 1000 or 1,000"),
        ("$12.500", "write 12500 or 12,500"),
        ("1.000.000", "write 1000000 or 1,000,000"),
    ],
)
def test_an_amount_that_could_be_read_in_two_ways_is_refused(written: str, remedy: str) -> None:
    with pytest.raises(ValueError, match="two ways") as raised:
        usd_amount(written)
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    "written", ["1.000,50", "1,00,000", "1,000_000", ",5", "5.", "1e3", "0", "0.00", "-1", "٥٠٠", "9" * 13, "1 000"]
)
def test_what_is_no_amount_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match="such as 500"):
        usd_amount(written)


@given(st.decimals(min_value="0.01", max_value="999999999.99", places=2))
def test_every_amount_with_two_decimals_is_read_exactly(amount: Decimal) -> None:
    for written in (f"{amount:f}", f"${amount:,f}", f"{amount:,f}".replace(",", "_")):
        assert usd_amount(written) == amount


@pytest.mark.parametrize(
    ("written", "chain"),
    [
        ("opus,sonnet,haiku", "claude-opus-5-5,claude-sonnet-5-5,claude-haiku-5-5"),
        ("Opus 4.8, Claude Sonnet 5.5, claude-haiku-5.5", "claude-opus-4-8,claude-sonnet-5-5,claude-haiku-5-5"),
        ("claude-opus-latest,claude-4.6-sonnet", "claude-opus-5-5,claude-sonnet-4-6"),
        ("opus\u20114.8,sonnet\u20134.6", "claude-opus-4-8,claude-sonnet-4-6"),
        # a snapshot is pinned on purpose
        ("claude-opus-5,claude-haiku-4-5-20251001", "claude-opus-5,claude-haiku-4-5-20251001"),
        ("claude-opus-5,haiku 4.5 20251001", "claude-opus-5,claude-haiku-4-5-20251001"),
        # ids of other platforms, and with a context, are for the services that read them
        (
            "us.anthropic.claude-opus-4-8,anthropic/claude-haiku-4.5",
            "us.anthropic.claude-opus-4-8,anthropic/claude-haiku-4.5",
        ),
        ("claude-opus-4-6[1m],claude-sonnet-5-5", "claude-opus-4-6[1m],claude-sonnet-5-5"),
        # may be newer than the card
        ("claude-opus-6,claude-sonnet-6,claude-haiku-5-5", "claude-opus-6,claude-sonnet-6,claude-haiku-5-5"),
        ("claude-opus-5-5,house-model", "claude-opus-5-5,house-model"),
    ],
)
def test_the_chain_is_made_of_ids_of_the_api(written: str, chain: str) -> None:
    assert ",".join(load(CLAUDE_COST_FALLBACK_CHAIN=written).fallback_chain) == chain


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("claude-opus-5-5,gpt-5", "gpt-5 is not a Claude model: name Claude models only."),
        ("claude-opus-5-5,openai/o3", "openai/o3 is not a Claude model: name Claude models only."),
        (
            "claude-opus-5-5,claude-sonet-5-5",
            "claude-sonet-5-5 is not a known model: did you mean claude-sonnet-5-5?",
        ),
        ("opus,sonet", "sonet is not a known model: did you mean sonnet?"),
    ],
)
def test_a_chain_with_a_misspelling_or_another_vendors_model_is_refused(written: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(CLAUDE_COST_FALLBACK_CHAIN=written)
    assert str(raised.value) == f"CLAUDE_COST_FALLBACK_CHAIN: {says}"


def test_two_spellings_of_one_model_are_no_chain() -> None:
    with pytest.raises(SettingsError, match="at least two different models"):
        load(CLAUDE_COST_FALLBACK_CHAIN="opus,claude-opus-5.5")


def test_a_model_that_is_in_no_price_table_may_stand_in_the_chain_and_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = load(CLAUDE_COST_FALLBACK_CHAIN="claude-opus-5-5,claude-sonnet-5-6,claude-haiku-5-5")
    assert settings.fallback_chain[1] == "claude-sonnet-5-6"
    assert "CLAUDE_COST_FALLBACK_CHAIN names claude-sonnet-5-6, which is in no price table" in caplog.text
    assert "did you mean claude-sonnet-5-5?" in caplog.text


def test_the_log_is_set_before_anything_else_is_read() -> None:
    assert log_settings({}) == (False, logging.INFO)
    words = {"CLAUDE_COST_LOG_FORMAT": "JSON", "CLAUDE_COST_LOG_LEVEL": " Warning ", "SLACK_BOT_TOKEN": "not one"}
    assert log_settings(words) == (True, logging.WARNING)


def test_the_default_chain_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    load()
    assert caplog.text == ""


def test_a_chain_whose_price_rises_is_refused_even_past_an_unknown_model() -> None:
    with pytest.raises(SettingsError) as raised:
        load(CLAUDE_COST_FALLBACK_CHAIN="claude-haiku-5-5,claude-brand-new,claude-sonnet-5-5")
    assert str(raised.value) == (
        "CLAUDE_COST_FALLBACK_CHAIN must fall in price: claude-sonnet-5-5 costs more than claude-haiku-5-5."
    )


def test_the_address_of_the_database_may_come_from_a_file_and_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://bot:hunter2@db/bot?password=hunter2\n")
    settings = load(CLAUDE_COST_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert settings.database_url == "postgresql+psycopg://bot:hunter2@db/bot?password=hunter2"
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in shown_database(settings.database_url)


def test_the_doctor_warns_of_an_unknown_model_and_knows_the_passwords_of_the_database() -> None:
    address = "postgresql://bot:hunter2@db/bot?sslpassword=hunter3"
    environ = {**COMPLETE, "CLAUDE_COST_DATABASE_URL": address, "CLAUDE_COST_FALLBACK_CHAIN": "claude-opus-5-5,new"}
    read = read_configuration(environ)
    assert [(check.state, check.sentence.partition(",")[0]) for check in read.checks] == [
        (State.WARN, "CLAUDE_COST_FALLBACK_CHAIN names new")
    ]
    for settings in (None, read.settings):
        secrets = secrets_in(environ, settings)
        assert {"hunter2", "hunter3"} <= set(secrets)
        assert address not in secrets, "the address without its passwords is shown"


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "bot.toml"
    path.write_text(text)
    return str(path)


def test_the_toml_file_adds_budgets_and_modes(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        """
        [[budget]]
        name = "search"
        scope = "workspace:wrkspc_01"
        period = "week"
        zone = "Europe/Berlin"
        soft_usd = "50"
        hard_usd = "100.00"

        [fallback]
        auto = false
        approvals = 0

        [mode.degraded]
        CLAUDE_MODEL = "claude-sonnet-5-5"
        ANTHROPIC_MODEL = "claude-sonnet-5-5"
        """,
    )
    settings = load(CLAUDE_COST_CONFIG=path)
    default, search = settings.budgets
    assert default.name == "default"
    assert search.scope == Scope(ScopeKind.WORKSPACE, "wrkspc_01")
    assert (search.period, str(search.zone), search.hard_usd) == (PeriodKind.WEEK, "Europe/Berlin", Decimal(100))
    assert search.origin == path
    assert settings.modes["degraded"]["ANTHROPIC_MODEL"] == "claude-sonnet-5-5"


def test_a_budget_in_the_file_makes_the_two_variables_unnecessary(tmp_path: Path) -> None:
    path = config(tmp_path, '[[budget]]\nname = "all"\nhard_usd = "10"\n')
    settings = load(CLAUDE_COST_CONFIG=path, CLAUDE_COST_SOFT_USD=None, CLAUDE_COST_HARD_USD=None)
    assert [budget.name for budget in settings.budgets] == ["all"]


def test_without_the_tables_the_usual_rules_hold() -> None:
    settings = load()
    assert (settings.alert_rules, settings.detector_rules) == (AlertRules(), DetectorRules())
    assert all(settings.detector_rules.of(rules) == rules() for rules in (ForecastRules, SpikeRules, DriftRules))
    assert (settings.fallback_rules, settings.display) == (FallbackRules(), Display())


def test_every_table_of_the_file_is_read(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        """
        [[budget]]
        name = "search"
        period = "week"
        week_starts = "sunday"
        thresholds = [50, 75, 90]
        soft_usd = "50"
        [alerts]
        escalate_minutes = 5
        escalate_levels = ["hard", "soft"]
        channel_levels = ["hard", "spike"]
        [forecast]
        enabled = false
        holds_minutes = 0
        clear_percent = "87.5"
        [spike]
        factor = "2.5"
        floor_usd_per_hour = "3"
        clear_percent = 40
        [drift]
        enabled = false
        limit_percent = 5
        floor_usd = "0.50"
        [display]
        currency = "JPY"
        rate = "151.20"
        tax_percent = "10"
        [fallback]
        auto = true
        auto_levels = ["hard", "forecast"]
        approvals = 1
        approval_minutes = 15
        [[destination]]
        url = "json://localhost"
        """,
    )
    settings = load(CLAUDE_COST_CONFIG=path)
    search = settings.budgets[1]
    assert (search.week_starts, search.thresholds) == (Weekday.SUNDAY, (50, 75, 90))
    assert settings.alert_rules == AlertRules(
        timedelta(minutes=5), frozenset({LimitKind.HARD, LimitKind.SOFT}), frozenset({LimitKind.HARD, AlertKind.SPIKE})
    )
    rules = settings.detector_rules
    assert rules.of(ForecastRules) == ForecastRules(enabled=False, holds_minutes=0, clear_percent=Decimal("87.5"))
    assert rules.of(ForecastRules).holds == timedelta(0)
    assert rules.of(SpikeRules) == SpikeRules(
        factor=Decimal("2.5"), floor_usd_per_hour=Decimal(3), clear_percent=Decimal(40)
    )
    assert rules.of(DriftRules) == DriftRules(enabled=False, limit_percent=Decimal(5), floor_usd=Decimal("0.5"))
    assert settings.display == Display("JPY", Decimal("151.20"), Decimal(10))
    assert settings.fallback_rules == FallbackRules(
        True, frozenset({LimitKind.HARD, AlertKind.FORECAST}), 1, timedelta(minutes=15)
    )
    (destination,) = settings.destinations
    assert destination.levels == set(LEVELS) - {AlertKind.NEW_PERIOD}


def test_zero_minutes_mean_that_nothing_is_escalated(tmp_path: Path) -> None:
    path = config(tmp_path, "[alerts]\nescalate_minutes = 0\n")
    assert load(CLAUDE_COST_CONFIG=path).alert_rules.escalate_after is None


def test_the_channel_may_leave_a_limit_to_a_destination(tmp_path: Path) -> None:
    path = config(tmp_path, '[alerts]\nchannel_levels = []\n[[destination]]\nurl = "json://localhost"\n')
    assert load(CLAUDE_COST_CONFIG=path).alert_rules.channel_levels == frozenset()


def test_no_destination_is_called_as_the_alert_channel_is(tmp_path: Path) -> None:
    path = config(tmp_path, '[[destination]]\nurl = "json://localhost"\nname = "Slack"\n')
    with pytest.raises(SettingsError, match="Slack is the alert channel itself; use another name"):
        load(CLAUDE_COST_CONFIG=path)


@pytest.mark.parametrize(
    ("admins", "warned"), [("U1,U2", True), ("U1", True), ("U1,U2,U3", False), ("U1,S1", False), ("", False)]
)
def test_more_approvals_than_there_are_other_admins_are_warned_of(
    tmp_path: Path, admins: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    load(CLAUDE_COST_CONFIG=config(tmp_path, "[fallback]\napprovals = 2\n"), CLAUDE_COST_ADMINS=admins)
    assert ("no change could ever be approved" in caplog.text) is warned


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[budget]]\nname = "a"\nscope = "team:x"\nhard_usd = "1"', "budget.0.scope"),
        ('[[budget]]\nname = "a"\nscope = "workspace:"\nhard_usd = "1"', "needs an id"),
        ('[[budget]]\nname = "a"\nhard_usd = 1.5', "as a string"),
        ('[[budget]]\nname = "a"\nhard_usd = "499,50"', "write 499.50"),
        ('[[budget]]\nname = "a"\nhard_usd = "1.000"', "write 1000 or 1,000"),
        ('[[budget]]\nname = "a"\nsoft_usd = "2"\nhard_usd = "1"', "below"),
        ('[[budget]]\nname = "a"', "soft_usd, hard_usd or both"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nzone = "Mars/Olympus"', "IANA"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nperiod = "year"', "period"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\n[[budget]]\nname = "a"\nhard_usd = "2"', "two budgets"),
        ('[[budget]]\nname = "default"\nhard_usd = "1"', "default"),
        ('[[budget]]\nname = "two words"\nhard_usd = "1"', "budget.0.name: a name is one word"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nscope = "key:' + "x" * 200 + '"', "at most 200 characters"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nweek_starts = "Sunday"', "budget.0.week_starts"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nthresholds = [50, 100]', "from 1 to 99"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nthresholds = [0]', "from 1 to 99"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nthresholds = [75, 50]', "thresholds rise"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nthresholds = [50, 50]', "each is there once"),
        ('[[budget]]\nname = "a"\nhard_usd = "1"\nthresholds = ["50"]', "budget.0.thresholds.0"),
        ("[alerts]\nescalate_minutes = -1", "alerts.escalate_minutes"),
        ("[alerts]\nescalate_minutes = 1000000", "alerts.escalate_minutes"),
        ('[alerts]\nescalate_minutes = "30"', "alerts.escalate_minutes"),
        ("[alerts]\nescalate_levels = []", "alerts.escalate_levels"),
        ('[alerts]\nescalate_levels = ["loud"]', "alerts.escalate_levels"),
        ('[alerts]\nchannel_levels = ["soft"]', "nobody would be notified of a hard limit"),
        ('[alerts]\nchannel_levels = ["hard"]\n[[destination]]\nurl = "json://h"\nlevels = ["hard"]', "a soft limit"),
        ("[forecast]\nholds_minutes = 1.5", "forecast.holds_minutes"),
        ("[forecast]\nclear_percent = 101", "forecast.clear_percent: write a per cent"),
        ("[forecast]\nclear_percent = 0", "not a number above zero"),
        ('[forecast]\nenabled = "perhaps"', "forecast.enabled"),
        ("[spike]\nfactor = 1", "a factor above 1"),
        ("[spike]\nfactor = 2.5", 'spike.factor: write it as a string, such as "2.5"'),
        ('[spike]\nfloor_usd_per_hour = "0"', "spike.floor_usd_per_hour: it must be an amount of USD above zero"),
        ('[spike]\nclear_percent = "1e2"', "not a number above zero"),
        ('[drift]\nfloor_usd = "1,5"', "write 1.5"),
        ('[drift]\nlimit_percent = "none"', "drift.limit_percent"),
        ('[display]\ncurrency = "yen"', "three capitals"),
        ('[display]\ncurrency = "JPY"', "set rate to the units of JPY for 1 USD"),
        ('[display]\ncurrency = "JPY"\nrate = 151.2', "display.rate: write it as a string"),
        ('[display]\ncurrency = "JPY"\nrate = "0"', "display.rate"),
        ('[display]\nrate = "2"', "remove rate"),
        ('[display]\ntax_percent = "101"', "display.tax_percent"),
        ('[fallback]\nauto = "at night"', "fallback.auto"),
        ('[fallback]\nauto_levels = ["soft"]', "soft switches nothing: use hard, forecast, spike"),
        ("[fallback]\nauto_levels = []", "fallback.auto_levels"),
        ("[fallback]\napprovals = 6", "fallback.approvals"),
        ("[fallback]\napproval_minutes = 0", "fallback.approval_minutes"),
        ('[mode.normal]\nCLAUDE_MODEL = "x"', "normal"),
        ('[mode.a]\n"A B" = "x"', "environment variable"),
        ('[mode.a]\nA = "x\\ny"', "line break"),
        ("[budgets]", "does not know"),
        ("not toml", "TOML"),
    ],
)
def test_a_mistake_in_the_file_names_the_place(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(CLAUDE_COST_CONFIG=config(tmp_path, text))
    assert named in str(raised.value)
    assert "CLAUDE_COST_CONFIG" in str(raised.value)

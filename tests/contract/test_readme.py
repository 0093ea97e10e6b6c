"""README, the pages of docs and the example settings say what the code does."""

import re
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import pytest

from bot.__main__ import COMMANDS
from bot.alerts.incident import LEVELS, AlertKind
from bot.alerts.rules import rules_type
from bot.budgets.parsing import WrittenBudget, budget_of, split_budget_words
from bot.cli.command_parser import doctor_arguments
from bot.config.environment import VARIABLES, misspelled
from bot.config.settings import Need, SettingsError, load_settings
from bot.config.tables import (
    AlertsTable,
    BackupTable,
    DisplayTable,
    FallbackTable,
    LedgerTable,
    PrivacyTable,
    RetentionTable,
)
from bot.config.toml import FileTables, read_config_file
from bot.fallback.targets.env_file import EnvFile
from bot.mode import CHAIN_VARIABLE, MODEL_VARIABLE, modes_from_chain
from bot.pricing.card import load_rate_card
from bot.pricing.words import EXAMPLES, FLAGS, KEYS, MEANINGS, parse_workload
from bot.sandbox.stage import HARD_USD, SOFT_USD
from bot.strict_fields import Table
from handlers.commands import SUBCOMMANDS
from handlers.render.help import COMMAND

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
README = PAGES[ROOT / "README.md"]

FOR_DEVELOPERS = {ROOT / "docs" / f"{name}.md" for name in ("errors", "testing")}
"""CONTRIBUTING.md and docs/architecture.md lead there."""

OF_DETECTORS: dict[str, type[Table]] = {
    kind.module: rules for kind in AlertKind if (rules := rules_type(kind)) is not None
}
"""Rules of detectors by the name of their table in the TOML file."""

OF_CLAUDE_CODE = {
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
}


def section(title: str) -> str:
    """Text of one of the pages below this heading."""
    (found,) = (
        after
        for text in PAGES.values()
        for heading in ("#", "##")
        for after in f"\n{text}".split(f"\n{heading} {title}\n")[1:]
    )
    return found.split("\n## ", 1)[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_try_it_has_two_commands_of_one_line_each() -> None:
    commands = blocks(section("Try it"), "sh")
    assert len(commands) == 2
    assert all(command.count("\n") == 1 for command in commands)
    demo, tests = commands
    assert demo.rstrip().endswith("claude-cost demo")
    assert tests.rstrip().endswith("pytest -n auto")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_links_to_are_there(page: Path) -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", PAGES[page])
    assert [name for name in linked if not (page.parent / name).exists()] == []


def test_readme_leads_to_every_page_in_docs_for_readers() -> None:
    linked = {ROOT / name for name in re.findall(r"\]\((docs/[^)]+\.md)\)", README)}
    assert set(PAGES) - linked - FOR_DEVELOPERS == {ROOT / "README.md"}


def test_readme_shows_commands_that_exist() -> None:
    shown = [row[0].strip("`") for row in rows(section("First commands")) if row[0].startswith("`")]
    names = {command.name: command.meaning for command in SUBCOMMANDS}
    assert shown
    assert [line for line in shown if line.removeprefix(f"{COMMAND} ").split()[0] not in names] == []
    parse_workload(next(line for line in shown if " estimate " in line).partition(" estimate ")[2], load_rate_card())
    words = next(line for line in shown if " budget set " in line).partition(" budget set ")[2]
    assert budget_of(*split_budget_words(words))


def test_install_names_commands_and_the_image_of_this_version() -> None:
    install = section("Install")
    (commands,) = blocks(install, "sh")
    assert [line.split()[1] for line in commands.splitlines() if line.startswith("claude-cost")] == ["init", "run"]
    assert {"init", "run"} <= set(COMMANDS)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"-t claude-cost:{version} ." in install


def test_variables_of_applications_are_no_misspelled_settings() -> None:
    """Both may read one `.env`."""
    table = section("In your application")
    names = re.findall(r"^\| `(CLAUDE_COST_\w+)` \|", table, re.MULTILINE)
    assert len(names) > 5
    assert misspelled(dict.fromkeys(names, "x")) == []


def test_the_settings_table_is_the_codes_own() -> None:
    variables = section("Settings").partition("More budgets and modes")[0]
    written = [row for row in rows(variables) if row[0].startswith("`")]
    assert written == [[f"`{v.name}`", v.meaning, f"`{v.default}`" if v.default else ""] for v in VARIABLES]


def test_the_number_of_secrets_is_right() -> None:
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert f"the {words[sum(v.secret for v in VARIABLES)]} secrets" in section("Settings")


def test_the_table_of_slack_commands_is_the_codes_own() -> None:
    commands = section("Commands in Slack").partition("**Estimates.**")[0]
    written = [row for row in rows(commands) if row[0].startswith("`")]
    assert written == [[f"`{COMMAND} {c.name} {c.usage}".rstrip() + "`", c.meaning] for c in SUBCOMMANDS]


def test_the_table_of_an_estimates_words_is_the_codes_own() -> None:
    table = rows(section("Commands in Slack").partition("**Estimates.**")[2])
    assert table[1:] == [[f"`{word}`", meaning] for word, meaning in MEANINGS]


def test_every_word_of_an_estimate_is_explained() -> None:
    named = {word.partition("=")[0] for word, _ in MEANINGS}
    assert named == {"sonnet-4.6", *KEYS, *FLAGS}


@pytest.mark.parametrize("words", EXAMPLES)
def test_every_example_of_an_estimate_works(words: str) -> None:
    assert parse_workload(words, load_rate_card())


def test_the_table_of_terminal_commands_is_the_codes_own() -> None:
    written = [row for row in rows(section("Commands on the terminal")) if row[0].startswith("`")]
    assert written == [[f"`claude-cost {name}`", meaning] for name, meaning in COMMANDS.items()]


def test_every_option_of_doctor_is_explained() -> None:
    parser = ArgumentParser(add_help=False)
    doctor_arguments(parser)
    options = re.findall(r"--\w+", parser.format_usage())
    assert options == ["--json", "--rollups", "--repair"]
    assert all(
        re.search(rf"`(?:claude-cost doctor )?{option}`", section("Commands on the terminal")) for option in options
    )


def test_the_toml_example_is_accepted(tmp_path: Path) -> None:
    (example,) = blocks(section("Settings"), "toml")
    assert tomllib.loads(example)
    path = tmp_path / "claude-cost.toml"
    path.write_text(example, encoding="utf-8")
    read = read_config_file(path)
    assert [(budget.name, budget.thresholds) for budget in read.budgets] == [("search", (50, 75, 90))]
    assert read.display.currency == "JPY"
    assert "degraded" in read.mode


def test_every_key_of_the_file_and_every_level_is_explained() -> None:
    settings = section("Settings")
    tables: dict[str, type[Table]] = {
        **OF_DETECTORS,
        "alerts": AlertsTable,
        "backup": BackupTable,
        "display": DisplayTable,
        "fallback": FallbackTable,
        "ledger": LedgerTable,
        "privacy": PrivacyTable,
        "retention": RetentionTable,
    }
    explained: dict[str, set[str]] = {}
    for row in rows(settings):
        first, *others = re.findall(r"`([^`]+)`", row[0]) or [""]
        named = re.fullmatch(r"\[(\w+)\] (\w+)", first)
        if named is not None:
            explained.setdefault(named[1], set()).update((named[2], *others))
    assert explained == {name: {*table.model_fields} for name, table in tables.items()}
    assert all(f"{key} = " in settings for key in WrittenBudget.model_fields)
    assert all(f"`{level}`" in settings for level in LEVELS)


def test_every_budget_that_is_set_in_chat_is_one() -> None:
    (example,) = (block for block in blocks(section("Commands in Slack"), "") if "budget set" in block)
    budget = None
    for line in example.splitlines():
        action, words = line.removeprefix(f"{COMMAND} budget ").split(maxsplit=1)
        name, values = split_budget_words(words)
        budget = budget_of(name, values, budget) if action == "set" else None
    assert budget is None


def test_the_example_of_destinations_is_accepted(tmp_path: Path) -> None:
    (example,) = blocks(section("Alerts elsewhere"), "toml")
    (tmp_path / "chatwork").write_text("chatwork://TOKEN@4711", encoding="utf-8")
    path = tmp_path / "claude-cost.toml"
    path.write_text(example.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    named = {receiver.name: sorted(receiver.levels) for receiver in read_config_file(path).destinations}
    assert named == {"mail": ["hard", "soft"], "chatwork://4711": ["hard"]}


def test_the_example_file_is_accepted_and_shows_every_table(tmp_path: Path) -> None:
    example = (ROOT / "docs" / "claude-cost.example.toml").read_text(encoding="utf-8")
    assert {*tomllib.loads(example)} == {*FileTables.model_fields, *OF_DETECTORS}
    (tmp_path / "chatwork").write_text("chatwork://TOKEN@4711", encoding="utf-8")
    (tmp_path / "ingest").write_text("token", encoding="utf-8")
    path = tmp_path / "claude-cost.toml"
    path.write_text(example.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    read = read_config_file(path)
    assert [budget.name for budget in read.budgets] == ["search", "opus", "code"]
    card = load_rate_card()
    for mode in ("degraded", "minimal"):
        variables = read.mode[mode]
        assert {*variables} == {MODEL_VARIABLE, CHAIN_VARIABLE, *OF_CLAUDE_CODE}
        assert all(card.find(model) for value in variables.values() for model in value.split(","))


def test_the_managed_block_is_shown_as_it_is_written(tmp_path: Path) -> None:
    default = next(v.default for v in VARIABLES if v.name == "CLAUDE_COST_FALLBACK_CHAIN")
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(modes_from_chain(default.split(","), {})["degraded"].variables)
    assert target.path.read_text(encoding="utf-8") in section("Fallback mode")


def test_the_example_settings_are_those_that_a_start_needs() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(given) <= {variable.name for variable in VARIABLES}
    with pytest.raises(SettingsError, match="SLACK_BOT_TOKEN is missing"):
        load_settings(given, Need.RUN)
    filled = {
        **given,
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_APP_TOKEN": "xapp-1",
        "ANTHROPIC_ADMIN_KEY": "key",
        "CLAUDE_COST_CHANNEL": "C1",
    }
    assert load_settings(filled, Need.RUN).budgets
    assert (given["CLAUDE_COST_SOFT_USD"], given["CLAUDE_COST_HARD_USD"]) == (SOFT_USD, HARD_USD)

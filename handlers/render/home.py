"""The Home tab as a view: today and the month first, then open alerts, every budget, and top callers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from bot.alerts.lifecycle import OpenAlert
from bot.amounts import share, span, usd
from bot.budgets.budget_spend import BudgetSpend, NamedMover
from bot.budgets.course import Course
from bot.budgets.report import Report
from bot.clock import BEFORE_EVERYTHING
from bot.display import USD, Display
from bot.fallback.service import ModeState
from bot.language import tr, tr_noop
from bot.listed import labelled
from bot.messages import Block, Message, Part
from bot.pricing.store import KeptEstimate
from bot.pricing.tokens import TokenCounts
from bot.usage.store_reads import Names
from handlers.render.digest_settings import NEW, SETTINGS_ACTION
from handlers.render.fallback import mode_line
from handlers.render.lifecycle import open_line
from handlers.render.parts import (
    NO_DATA,
    bullets,
    button,
    buttons,
    code,
    context,
    escape,
    heading,
    lead,
    model_label,
    moment,
    paragraph,
    shown,
)
from handlers.render.report import course_parts
from handlers.render.spend import (
    amount,
    display_lines,
    end_line,
    in_its_period,
    is_over,
    limits_line,
    mover_line,
    over_line,
    total,
    unknown_price_line,
)

REFRESH_ACTION = "home_refresh"
ESTIMATE_ACTION = "home_estimate"
REPORT_ACTION = "home_report"
FORECAST_ACTION = "home_forecast"
FALLBACK_ACTION = "home_fallback"
BUDGETS_ACTION = "home_budgets"

TRY = tr_noop(
    "Type `/claude-cost` in any channel: `estimate` before you build, `report` for who spends, `help` for the rest."
)

MOST_BUDGETS = 15
MOST_ALERTS = 10
MOST_MOVERS = 5
MOST_KEPT = 5
MOST_VIEW_BLOCKS = 100
"""Most blocks of a Home tab (docs.slack.dev, views)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A day or a month of the whole organization. `name`: `today`, `this month`, as in `ReportWords`."""

    name: str
    report: Report

    @property
    def counts(self) -> TokenCounts:
        """Its tokens, all summed."""
        return sum((group.counts for group in self.report.groups), TokenCounts())


@dataclass(frozen=True, slots=True)
class HomeContent:
    """Content of the tab at one moment; equal contents are published once.

    `stretches`: those with known usage. `ends`: the organization's month, with its expected end. `course`: of the month
    by model. `budgets`: nearest to its limit first. `unmatched`: budgets that count nothing, as text. `open_alerts`:
    each with the link to its message, if any. `kept`: each with its pace, USD a month. `problems`: what does not work.
    `age`: age of the data at `now`, ignored by equality.
    """

    stretches: Sequence[Stretch] = ()
    ends: BudgetSpend | None = None
    course: Course | None = None
    names: Names | None = None
    budgets: Sequence[BudgetSpend] = ()
    more_budgets: int = 0
    unmatched: Sequence[str] = ()
    open_alerts: Sequence[tuple[OpenAlert, str | None]] = ()
    mode: ModeState | None = None
    movers: Sequence[NamedMover] = ()
    kept: Sequence[tuple[KeptEstimate, Decimal | None]] = ()
    problems: Sequence[str] = ()
    now: datetime = field(default=BEFORE_EVERYTHING, compare=False)
    age: str = field(default=NO_DATA, compare=False)
    is_stale: bool = False
    display: Display = USD


def home_view(content: HomeContent, *, for_admin: bool, native: bool = True, sets_digests: bool = False) -> Block:
    """`for_admin`: include what only admins may do. `native`: with a chart. `sets_digests`: as owners of a team may."""
    message = Message(
        [
            heading(tr("What Claude costs")),
            *([lead(content.age)] if content.is_stale or not content.stretches else []),
            *(lead(*_stretch_lines(each, content.display)) for each in content.stretches),
            *_end_parts(content),
            _buttons(for_admin=for_admin, sets_digests=sets_digests),
            _alerts(content.open_alerts),
            *_course(content),
            *_budgets(content),
            *_mode(content),
            bullets(tr("Largest in the last 24 hours"), [_mover_line(mover) for mover in content.movers]),
            bullets(tr("Estimates against what is used"), [_kept_line(kept, pace) for kept, pace in content.kept]),
            paragraph(*content.problems),
            context(*([] if content.is_stale or not content.stretches else [content.age]), tr(TRY)),
        ]
    )
    drawn = message if native else message.in_older_blocks or message
    blocks = [block for part in drawn.parts for block in part.blocks]
    return {"type": "home", "blocks": blocks[:MOST_VIEW_BLOCKS]}


def _stretch_lines(stretch: Stretch, display: Display) -> list[str]:
    spend = stretch.report.spend
    first = tr("{spent} {period}", spent=total(spend), period=tr(stretch.name))
    lines = [first, *display_lines(spend.total_usd, display)]
    if not stretch.report.known.complete:
        lines.append(tr("INCOMPLETE: of some hours no usage is known here, so the true sum may be higher."))
    if spend.provisional_usd:
        lines.append(tr("Of it {amount} provisional, from your applications' log.", amount=usd(spend.provisional_usd)))
    if spend.assumed:
        lines.append(unknown_price_line(spend.assumed))
    counts = stretch.counts
    if counts.prompt_tokens:
        rate = share(Decimal(counts.cache_read_input_tokens), Decimal(counts.prompt_tokens))
        lines.append(tr("Cache hit rate: {rate} of all input was read from a cache.", rate=rate))
    return lines


def _end_parts(content: HomeContent) -> list[Part]:
    ends = content.ends
    if ends is None or is_over(ends, content.now):
        return []
    return [paragraph(end_line(ends))]


def _buttons(*, for_admin: bool, sets_digests: bool) -> Part:
    elements = [
        button(tr("Estimate a workload"), ESTIMATE_ACTION, "home", style="primary"),
        button(tr("Report"), REPORT_ACTION, "home"),
        button(tr("Forecast"), FORECAST_ACTION, "home"),
    ]
    if for_admin:
        elements.append(button(tr("Fallback mode"), FALLBACK_ACTION, "home"))
    elements.append(button(tr("Budgets"), BUDGETS_ACTION, "home"))
    if for_admin or sets_digests:
        elements.append(button(tr("Digests"), SETTINGS_ACTION, NEW))
    return buttons([*elements, button(tr("Refresh"), REFRESH_ACTION, "home")])


def _alerts(opened: Sequence[tuple[OpenAlert, str | None]]) -> Part:
    lines = []
    for alert, link in opened[:MOST_ALERTS]:
        line = tr("{alert}, since {time}", alert=open_line(alert), time=moment(alert.since))
        lines.append(line if link is None else labelled(line, f"<{escape(link)}|{tr('open it')}>"))
    if len(opened) > MOST_ALERTS:
        lines.append(tr("and {number} more", number=len(opened) - MOST_ALERTS))
    return bullets(tr("Open alerts"), lines)


def _course(content: HomeContent) -> list[Part]:
    if content.course is None or content.names is None:
        return []
    month = content.stretches[-1].report
    return course_parts(month, content.course, content.names)


def _budgets(content: HomeContent) -> list[Part]:
    parts = [paragraph(*_budget_lines(spend, content)) for spend in content.budgets]
    more = (
        []
        if not content.more_budgets
        else [
            tr(
                "and {number} more budgets, further from their limits: `/claude-cost status`.",
                number=content.more_budgets,
            )
        ]
    )
    return [*parts, paragraph(*more, *content.unmatched)]


def _budget_lines(spend: BudgetSpend, content: HomeContent) -> list[str]:
    first = tr(
        "*{spent} {when}*: budget {budget}, {scope}",
        spent=amount(spend),
        when=in_its_period(spend),
        budget=shown(spend.budget),
        scope=shown(spend.scope),
    )
    lines = [first, *display_lines(spend.spent_usd, content.display)]
    drawn = bar(spend)
    if drawn:
        lines.append(f"{drawn} {limits_line(spend)}")
    return [*lines, over_line(spend) if is_over(spend, content.now) else end_line(spend)]


CELLS = 20
FULL, EMPTY = "▰", "▱"
SOFT_MARK, HARD_MARK = "│", "┃"


def bar(spend: BudgetSpend) -> str:
    """A bar of spend, with a mark at the soft limit and a stronger one at the hard one; empty without a limit.

    As long as the highest limit, or as spend if that is more.
    """
    limits = [(limit, mark) for limit, mark in ((spend.soft_usd, SOFT_MARK), (spend.hard_usd, HARD_MARK)) if limit]
    if not limits:
        return ""
    whole = max(spend.spent_usd, *(limit for limit, _ in limits))
    full = max(0, int(spend.spent_usd * CELLS / whole))
    places = {max(1, int(limit * CELLS / whole)): mark for limit, mark in limits}
    cells = ""
    for place in range(1, CELLS + 1):
        cells += FULL if place <= full else EMPTY
        cells += places.get(place, "")
    return cells


def _mode(content: HomeContent) -> list[Part]:
    if content.mode is None:
        return []
    lines = [mode_line(content.mode)]
    ends = content.mode.ends
    if ends is not None:
        lines.append(tr("It ends in {span}.", span=span(ends.at - content.now)))
    return [paragraph(*lines)]


def _mover_line(mover: NamedMover) -> str:
    return mover_line(replace(mover, model=model_label(mover.model)))


def _kept_line(kept: KeptEstimate, pace: Decimal | None) -> str:
    values = {"name": code(kept.name), "estimated": usd(kept.monthly_usd), "scope": shown(kept.scope or "")}
    if pace is None:
        return tr("{name}: estimated {estimated} a month, pace not known yet ({scope})", **values)
    return tr("{name}: estimated {estimated} a month, on pace for {pace} ({scope})", pace=usd(pace), **values)

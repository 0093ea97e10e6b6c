"""What a question in plain words is about: a workspace, key, feature, team, budget and so on that it names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.budgets.budget import PeriodKind, ScopeKind
from bot.digests.schedule import OF_BUDGET
from bot.services import Services
from bot.typed_text import cleaned
from handlers.questions import GROUPS, HELP_ESTIMATE, OTHER_DAYS, PERIODS, TOPICS, bounded, has, period_of, plain

BUDGET = OF_BUDGET.removesuffix(":")

KINDS: Mapping[str, str] = {
    ScopeKind.WORKSPACE: r"workspaces?|ワークスペース",
    ScopeKind.TEAM: r"teams?|チーム",
    ScopeKind.FEATURE: r"features?|機能",
    ScopeKind.KEY: r"(?:api[ -]?)?keys?|キー",
    ScopeKind.PRODUCT: r"products?|プロダクト|製品",
    ScopeKind.GROUP: r"groups?|グループ",
    ScopeKind.AGENT: r"agents?|エージェント",
    BUDGET: r"budgets?|limits?|予算|上限",
    ScopeKind.MODEL: r"models?|モデル",
    ScopeKind.USER: r"users?|ユーザー?",
    ScopeKind.ACTOR: r"actors?|利用者",
}
"""Kinds of subjects with their words. The first kind of a name is meant if the question names no kind."""

OF_PEOPLE = (ScopeKind.USER, ScopeKind.ACTOR)

RUNNING = {PeriodKind.DAY: "today", PeriodKind.WEEK: "week", PeriodKind.MONTH: "month"}

MOST_WORDS = 3
"""Words and other subjects that an answer names."""

Known = Mapping[str, Sequence[tuple[str, str]]]
"""Kinds and values of subjects by their name, in lower case."""

_WORDS = """
a about actually addition after again against ai alert alerts all also amount an and anthropic anthropics any
anybody anyone api app apps april are as at august average be because been before being big biggest bill
billed bills both but by calls can case claude company cost costing costs could current currently day days
december default did digest do does doing dollars done down during each end entire everybody everyone
everything expensive fact far february few first for forecast friday from general get give go going gone got
had half has have hello here hi high higher hour hours how i if in increase increased input is it its january
july jump june just keep large largest last least left less limit limits long low lower march may maybe me
moment monday money month months more morning most much my new next no not november now number october of on
one only or org organisation organization our output over paid particular pay paying people per percent please
price prices project projects really remaining report requests rising saturday say says second september
service share show since small so some somebody someone spend spending spends spent spike status still such
sunday team teams tell than thanks that the their them then there these they thing things this those thursday
time to token tokens too top total trend tuesday until up us usage usd use used user users very was we
wednesday week weekend weeks well went were what whats when where which who whole why will with work would
year years yet you your
"""
_FURTHER_WORDS = """
able above across actual ago almost already always annual another anything approximately around available away
become behind below best better between breakdown budgeted burn burned burning cached caching cause caused
causes causing change changed changes changing charge charged charges cheap cheapest coming common compare
compared comparison credit daily date decrease decreased difference different dollar double doubled driven
driver drivers drives driving drop dropped either else ended ending ends enough estimated euro euros every exact
exactly exceed exceeded expected expense expenses extra falling fast fewer figure figures full further getting
given goes good group groups grow growing grown happen happened happening happens having headroom highest hit
hourly idea including increasing inside instead into issue jumped know lately later like likely little longer
look lot lots lowest main mainly major many max maximum mean means minute minutes monthly mostly near nearly
need never night none normal nothing numbers off often ok once ones other others out outside overall overspend
own owner owns part past payment pays percentage period picture place planned point possible prediction probably
problem projected quarter quickly rate rates ratio reach reached real reason recent recently request rest right
rise risen rose run running runs said same saved saving savings several should shows similar single situation
something soon spiked spikes split start started stay stays steep stop sudden suddenly sum sure take taken takes
tends think thousand through throughout till times today together tomorrow tonight totals trending trends turn
two type typical typically under unusual unusually update useful uses using usual usually value versus view vs
way weekly whatever whether while whom whose within without works worst worth wrong yearly yesterday
"""
_ORDINARY = frozenset(_WORDS.split())
"""Words that name nothing without a kind beside them, even where something has that name."""
_NO_NAMES = _ORDINARY.union(_FURTHER_WORDS.split())
"""Words that are not taken for a name that nothing has."""
_ORDINARY_JA = re.compile(r"全体|組織|会社|合計|全部|私たち|我々|うち|それ|これ|月間|毎月|毎日|\d+月|\d+日")
_NO_NAMES_JA = re.compile(
    r"全体|全員|組織|会社|合計|総額|全部|それ|これ|あれ|何|誰|皆|他|各|金額|値段|料金|利用|消費|請求|支払|残高|残額|差額|平均|最大|最高"
    r"|最低|一番|超過|現在|状況|状態|増加|減少|変化|比率|割合|内訳|部署|部門|個人|普通|急|最近|直近|最新|午前|午後|ドル|クレジット"
    r"|トークン|リクエスト|クロード"
    rf"|{'|'.join([*PERIODS.values(), *GROUPS.values(), *KINDS.values(), *TOPICS.values(), OTHER_DAYS])}"
    r"|[額費代量率分使増減高安]"
)
_NAME = r"([a-z0-9][a-z0-9._-]*)"
_KIND = r"(?:workspace|api key|key|feature|team|product|project|group|agent|budget|user|app|service)"
_NAMED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![a-z])(?:did|does|do|has|have|is|was) (?:the |our |my )?{_NAME}"
        r"(?= (?:[a-z]+ )?(?:cost|spen[dt]|use|pay|paid))",
        rf"(?<![a-z])(?:for|of|on|from|by|in) (?:the |our |my )?{_NAME}",
        rf"(?<![a-z0-9._-]){_NAME} {_KIND}(?![a-z])",
        rf"(?<![a-z]){_KIND} {_NAME}",
        r"(?<![a-z0-9._-])([a-z0-9]+(?:[-_][a-z0-9]+)+)",
        rf"(?<![a-z0-9._-]){_NAME}\s*(?:の|は|に|で|が|って|ワークスペース|キー|機能|チーム)",
        r"([ぁ-んァ-ヶー一-龥]{2,}?)の(?:費用|コスト|支出|使用|料金|請求)",
        r"([ァ-ヶー一-龥]{2,})(?:さん|様|氏|くん|ちゃん)",
        r"([ァ-ヶー一-龥]{2,})(?:は|が|って)",
        r"([ァ-ヶー一-龥]{2,})(?:チーム|ワークスペース|機能|キー|グループ)",
    )
)


@dataclass(frozen=True, slots=True)
class About:
    """What a sentence is about. `subject`: kind and value, None for the organization; `others`: what it may mean
    besides. `ignored`: words of it that look like names, and that nothing has.
    """

    subject: tuple[str, str] | None
    others: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()


def about(sentence: str, known: Known) -> About:
    """What the sentence names. Names match as a whole, in any case; nothing is guessed from a similar name."""
    rest = plain(sentence)
    found: dict[int, list[tuple[str, str]]] = {}
    unlikely: list[tuple[str, str]] = []
    for name in sorted(known, key=lambda name: (-len(name), name)):
        at = re.search(rf"(?<![a-z0-9_-]){re.escape(name)}(?![a-z0-9_-])", rest)
        if at is None:
            continue
        before, behind = rest[: at.start()].rstrip(), rest[at.end() :].lstrip()
        of_kind = [each for each in known[name] if _is_beside(KINDS[each[0]], before, behind)]
        if not of_kind and (is_ordinary(name) or len(name) == 1):
            if name not in PERIODS and any(each[1] == name for pattern in _NAMED for each in pattern.finditer(rest)):
                unlikely += known[name]
            continue
        # What the name means beside that kind comes after it.
        found[at.start()] = [*of_kind, *(each for each in known[name] if each not in of_kind)]
        rest = rest[: at.start()] + "\x00" * len(name) + rest[at.end() :]
    meant = [each for start in sorted(found) for each in found[start]]
    others = [*meant[1:], *unlikely][:MOST_WORDS]
    return About(meant[0] if meant else None, tuple(others), tuple(_unknown(rest))[:MOST_WORDS])


def _is_beside(kind: str, before: str, behind: str) -> bool:
    return re.search(rf"{bounded(kind)}[ :]*$", before) is not None or re.match(bounded(kind), behind) is not None


def is_ordinary(word: str) -> bool:
    """Whether a word belongs to the language of questions, so that it alone names nothing."""
    if word in _ORDINARY or not re.search(r"[^\W\d_]", word):
        return True
    if any(re.fullmatch(pattern, word) for pattern in (*PERIODS.values(), *GROUPS.values(), *KINDS.values())):
        return True
    return not word.isascii() and any(re.search(each, word) for each in (_ORDINARY_JA.pattern, *PERIODS.values()))


def _unknown(said: str) -> Iterator[str]:
    at = {match.start(1): match[1] for pattern in _NAMED for match in pattern.finditer(said)}
    for word in dict.fromkeys(at[start].strip(".-_") for start in sorted(at)):
        if word not in _NO_NAMES and not is_ordinary(word) and (word.isascii() or _NO_NAMES_JA.sub("", word)):
            yield word


def known_subjects(services: Services, *, people: bool) -> Known:
    """Every subject by its names; `people`: with single users. Reads the database."""
    found: dict[str, dict[tuple[str, str], None]] = {}

    def add(kind: str, value: str, *names: str) -> None:
        for name in (value, *names):
            if plain := cleaned(name).casefold():
                found.setdefault(plain, {})[kind, value] = None

    names, logged = services.snapshots.current().names, services.logged.current()
    for kind, ids in ((ScopeKind.WORKSPACE, names.workspaces), (ScopeKind.KEY, names.keys)):
        for id_, name in ids.items():
            # A name is easier to read; one that typing would change has to be its id.
            add(kind, name if cleaned(name) == name else id_, id_, name)
    for team in services.budgets.teams.names:
        add(ScopeKind.TEAM, team)
    for kind in (ScopeKind.FEATURE, *([ScopeKind.USER] if people else [])):
        for value, _ in (key for key, _ in logged.index.groups(kind)):
            if value:
                add(kind, value)
    for kind in (ScopeKind.PRODUCT, ScopeKind.GROUP, ScopeKind.AGENT, *([ScopeKind.ACTOR] if people else [])):
        attributed = services.attributed.current().names.attributed.get(kind.value)
        for id_, name in ({} if attributed is None else attributed.names).items():
            add(kind, id_, name, id_.replace("_", " "))
    for budget in services.budgets.in_force():
        add(BUDGET, budget.name)
    for family in services.card.families():
        add(ScopeKind.MODEL, family)
    for model in services.card.models.values():
        add(ScopeKind.MODEL, model.id, model.name)
    order = list(KINDS)
    return {name: sorted(each, key=lambda of: order.index(of[0])) for name, each in found.items()}


async def asked_about(services: Services, words: str, sentence: str, *, people: bool) -> tuple[str, About]:
    """The command for what a sentence is about, and what that is. `words`: the command for the whole organization."""
    topic, _, rest = words.partition(" ")
    said = plain(sentence)
    # "What does search cost?" may be about a workload to come or about what is there.
    is_open = (
        words == HELP_ESTIMATE and has(r"(?:does|do) \S.* costs?", said) and not has(r"would|will|estimates?", said)
    )
    if topic not in ("report", "status", "digest", "forecast") and not is_open:
        return words, About(None)
    known = await services.threads.commands(lambda: known_subjects(services, people=people))
    meant = about(sentence, known)
    if is_open and (meant.subject is None or meant.subject[0] == ScopeKind.MODEL):
        return words, About(None)
    if meant.subject is None:
        return words, meant
    if is_open:
        return command_about(period_of(said) or "month", meant.subject), meant
    if topic in ("status", "forecast"):
        budget = next((each for each in (meant.subject, *meant.others) if each[0] == BUDGET), None)
        if budget is not None:
            if topic == "forecast":
                return f"forecast {budget[1]}", meant
            in_force = await services.threads.commands(services.budgets.in_force)
            kind = next((each.period for each in in_force if each.name == budget[1]), PeriodKind.MONTH)
            if has(TOPICS["status"], said):
                return command_about(RUNNING[kind], budget), meant
        return command_about("month", meant.subject), meant
    return command_about(rest.partition(" by ")[0].removeprefix("by ") or "month", meant.subject), meant


def command_about(period: str, subject: tuple[str, str]) -> str:
    """The command that shows a subject's spend: `digest today for=workspace:Search`."""
    kind, value = subject
    return f"digest {period} for={kind}:{value}"

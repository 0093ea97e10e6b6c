"""Classifies a text: a model of the rate card, another Claude model, or another vendor's model."""

import re
from enum import Enum
from functools import cache, lru_cache
from typing import Protocol

from bot.pricing.card import Model, RateCard
from bot.pricing.model_ids import LONGEST_ID, plain, spelled

_VENDOR = (
    r"openai|azure-openai|google|google-ai-studio|gemini|meta|meta[-_]llama|meta-models|mistral|mistralai"
    r"|deepseek|deepseek-ai|x-ai|xai|qwen|alibaba|cohere|ai21|moonshot|moonshotai|z-ai|zai|zhipuai|minimax|nvidia|ibm|ibm-granite"
    r"|microsoft|baidu|tencent|bytedance|bytedance-seed|01-ai|reka|rekaai|allenai|nousresearch|stability"
    r"|stability-ai|black-forest-labs|voyage|jina|jina_ai|elevenlabs|deepgram|assemblyai|twelvelabs|arcee-ai"
    r"|stepfun|stepfun-ai|xiaomi|meituan|upstage"
)
"""A segment of a gateway's path, or the part before the first dot of a Bedrock id."""

_STRONG = r"""(?:^|(?<=[^a-z\d]))(?:
      (?:chat)?gpt-?\d | (?:chat)?gpt(?:-|$) | gemini-\d | gemma | codegemma | (?:meta-?)?(?:code)?llama | mistral
    | mixtral | ministral | codestral | magistral | devstral | pixtral | voxtral | mathstral | deepseek
    | qwen | qwq | qvq | grok-\d | command-(?:r|a|light|nightly|text) | kimi
    | (?:chat)?glm-?\d | ernie- | hunyuan | doubao | minimax- | baichuan
    | internlm | nemotron | jamba | dall-e | whisper-\d | stable-diffusion | starcoder | text-embedding
    )"""
"""Unambiguous at the start of any word."""

_AT_START = r"""(?:^|(?<=[/:.]))(?:
      o[1-9](?:-(?:mini|pro|preview|deep-research|\d{4}).*)?$ | codex(?:-|$)
    | (?:code-|text-)?(?:davinci|curie|babbage|ada)(?:-\d+)?$ | text-(?:davinci|curie|babbage|ada)- | sora-\d
    | omni-moderation | computer-use-preview | whisper(?:-large|$) | tts-\d | gemini(?:-|$) | palm-?2
    | learnlm | imagen | veo-\d
    | lyria- | chirp | medlm | (?:text|chat|code)-(?:bison|unicorn|gecko) | open-mi[sx]tral | grok(?:-|$) | command$
    | c4ai- | aya- | rerank | nova-(?:micro|lite|pro|premier|sonic|canvas|reel|\d) | titan-(?:text|embed|image|tg1)
    | j2- | jurassic | phi-?\d | moonshot | abab\d | yi-(?:\d|large|medium|spark|vision|lightning) | granite-\d | dbrx
    | snowflake-arctic | solar-(?:\d|pro|mini) | falcon-?\d | reka- | sonar(?:-|$) | pplx- | wizardlm | vicuna
    | hermes-?\d | nous-hermes | sdxl | sd3 | flux[.-] | bge- | e5- | gte- | jina- | voyage- | step-\d | mimo- | longcat
    | inflection- | olmo | smollm | exaone | palmyra | composer-\d | swe-\d | mercury-\d | seed-\d | nomic-embed
    | mxbai-embed | all-minilm | zephyr-\d | lfm-?\d
    | muse-(?:spark|wonder|glimmer) | mai-(?:ds|code|image|cyber)
    )"""
"""Short names and ordinary words: matched only at the start of a name."""

_SIZE = r"(?:^|[-_:/])\d+(?:\.\d+)?b(?:[-_:]|$)"
"""Parameter counts: open models carry them in their names, Claude models never do."""

_JOBS_OF_OTHERS = r"(?:^|[^a-z])(?:embed|embedding|embeddings|rerank|reranker)(?:[^a-z]|$)"
"""Anthropic sells no embedding or ranking models."""


def is_of_another_vendor(text: str) -> bool:
    """Whether a text in lower case names a model that another vendor makes."""
    names, vendor = _patterns()
    if any(pattern.search(text) for pattern in names):
        return True
    *path, last = re.split(r"[/:]", text)
    return any(vendor.fullmatch(part) for part in (*path, *last.split(".")[:-1]))


@cache
def _patterns() -> tuple[list[re.Pattern[str]], re.Pattern[str]]:
    """Compiled on first use: an application that only follows the fallback mode never needs it."""
    names = [re.compile(text, re.VERBOSE) for text in (_STRONG, _AT_START, _SIZE, _JOBS_OF_OTHERS)]
    return names, re.compile(_VENDOR)


class Kind(Enum):
    """How a model id counts in Claude totals.

    KNOWN: a model of the rate card, or a bare family (priced as its newest model, and named as an assumption).
    UNKNOWN_CLAUDE: priced at the most expensive model that it could be, and named. NOT_CLAUDE: left out, and named.
    """

    KNOWN = "known"
    UNKNOWN_CLAUDE = "unknown Claude model"
    NOT_CLAUDE = "not a Claude model"


class KnowsModels(Protocol):
    """What this module needs of the rate card."""

    def knows(self, model_id: str) -> bool:
        """Whether a text names a model or a family of the card."""


def kind_of(model_id: str, card: KnowsModels) -> Kind:
    """Whether usage of a model counts as Claude's, for logs that may hold other vendors' models.

    A recognizable model of another vendor does not count, unless the text also says `claude`. Any other unknown text
    (`my-finetune`, an application inference profile, an empty one) may be a Claude model and counts. Not needed for
    Anthropic's own reports, which hold Claude only.
    """
    if card.knows(model_id):
        return Kind.KNOWN
    return Kind.NOT_CLAUDE if is_foreign(model_id) else Kind.UNKNOWN_CLAUDE


@lru_cache(maxsize=4096)
def is_foreign(model_id: str) -> bool:
    """Whether a text names another vendor's model, through any gateway."""
    text = plain(model_id[:LONGEST_ID])
    return spelled(model_id).name is None and "claude" not in text and is_of_another_vendor(text)


class UnknownModelError(Exception):
    """No model has this name. `nearest`: the most likely model, as people write it.

    `is_foreign`: the name belongs to another vendor.
    """

    def __init__(self, word: str, nearest: str | None, is_foreign: bool = False) -> None:
        super().__init__(word)
        self.word = word
        self.nearest = nearest
        self.is_foreign = is_foreign


def model_named(word: str, card: RateCard) -> Model:
    """The model that `word` names; a bare family is its newest model. Raises `UnknownModelError`."""
    found = card.find(word)
    if found is not None:
        return found
    family = card.index.family(word)
    if family is not None:
        return card.newest(family)
    if is_foreign(word):
        raise UnknownModelError(word, None, is_foreign=True)
    # Needed only for a refusal.
    from difflib import get_close_matches

    known = {short_name(model): short_name(model) for model in card.models.values()}
    known |= {name.replace(".", "-"): name for name in known} | {family: family for family in card.families()}
    slug = (spelled(word).name or word.lower()).removeprefix("claude-")
    nearest = get_close_matches(slug, known, n=1, cutoff=0.5)
    raise UnknownModelError(word, known[nearest[0]] if nearest else None)


def short_name(model: Model) -> str:
    """`sonnet-4.6`."""
    return model.name.lower().replace(" ", "-")

"""Names by which models of other vendors are recognised. A name that only might be one is not: it may be the team's."""

import re
from functools import cache

_VENDOR = (
    r"openai|azure-openai|google|google-ai-studio|gemini|meta|meta[-_]llama|meta-models|mistral|mistralai"
    r"|deepseek|deepseek-ai|x-ai|xai|qwen|alibaba|cohere|ai21|moonshot|moonshotai|z-ai|zai|zhipuai|minimax|nvidia|ibm|ibm-granite"
    r"|microsoft|baidu|tencent|bytedance|bytedance-seed|01-ai|reka|rekaai|allenai|nousresearch|stability"
    r"|stability-ai|black-forest-labs|voyage|jina|jina_ai|elevenlabs|deepgram|assemblyai|twelvelabs|arcee-ai"
    r"|stepfun|stepfun-ai|xiaomi|meituan|upstage"
)
"""A segment of a gateway's path, or what stands before the first dot of a Bedrock id."""

_STRONG = r"""(?:^|(?<=[^a-z\d]))(?:
      (?:chat)?gpt-?\d | (?:chat)?gpt(?:-|$) | gemini-\d | gemma | codegemma | (?:meta-?)?(?:code)?llama | mistral
    | mixtral | ministral | codestral | magistral | devstral | pixtral | voxtral | mathstral | deepseek
    | qwen | qwq | qvq | grok-\d | command-(?:r|a|light|nightly|text) | kimi
    | (?:chat)?glm-?\d | ernie- | hunyuan | doubao | minimax- | baichuan
    | internlm | nemotron | jamba | dall-e | whisper-\d | stable-diffusion | starcoder | text-embedding
    )"""
"""Unmistakable wherever a word begins."""

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
"""Names that are words as well, or short: only where a name begins."""

_SIZE = r"(?:^|[-_:/])\d+(?:\.\d+)?b(?:[-_:]|$)"
"""Billions of weights: open models are called by them, and Claude never is."""

_JOBS_OF_OTHERS = r"(?:^|[^a-z])(?:embed|embedding|embeddings|rerank|reranker)(?:[^a-z]|$)"
"""Claude makes no embeddings and ranks nothing."""


def is_of_another_vendor(text: str) -> bool:
    """Whether a text in lower case names a model that another vendor makes."""
    names, vendor = _patterns()
    if any(pattern.search(text) for pattern in names):
        return True
    *path, last = re.split(r"[/:]", text)
    return any(vendor.fullmatch(part) for part in (*path, *last.split(".")[:-1]))


@cache
def _patterns() -> tuple[list[re.Pattern[str]], re.Pattern[str]]:
    """Compiled when first asked for: an application that only follows the fallback mode never asks."""
    names = [re.compile(text, re.VERBOSE) for text in (_STRONG, _AT_START, _SIZE, _JOBS_OF_OTHERS)]
    return names, re.compile(_VENDOR)

"""How one model id is written in different places: Anthropic's API, Amazon Bedrock, Google Vertex.

Only the documented decorations are taken off, and what is left has to match a known id exactly: `claude-opus-5`
is the beginning of `claude-opus-5-5` and another model.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

FAMILIES = ("fable", "mythos", "opus", "sonnet", "haiku")

_BEDROCK_ARN = re.compile(r"arn:aws[\w-]*:bedrock:[\w-]*:[^:/]*:(?:foundation-model|inference-profile)/")
_BEDROCK_REGION = re.compile(r"(us-gov|us|eu|apac|jp|au|ca|sa|global)\.(?=anthropic\.)")
_BEDROCK_VERSION = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$")
_VERTEX_PATH = re.compile(
    r"(?:(?:(?:https:)?//[\w.-]+/(?:v\d\w*/)?)?projects/[^/]+/locations/([\w-]+)/)?publishers/anthropic/models/"
)
_VERTEX_DATE = re.compile(r"@(\d{8}|latest|default)$")
_CLAUDE_CODE_CONTEXT = "[1m]"


@dataclass(frozen=True, slots=True)
class Spelling:
    """`candidates`: the ids it may stand for, the likeliest first. `regional`: served by one region at a premium."""

    candidates: tuple[str, ...]
    regional: bool


@lru_cache(maxsize=1024)
def spelled(model_id: str) -> Spelling:
    """What is left of an id without the decorations of the place where it was written; case does not matter."""
    text = model_id.strip().lower().removesuffix(_CLAUDE_CODE_CONTEXT)
    text, region = _without_place(text)
    regional = region is not None and region != "global"
    vertex = _VERTEX_DATE.search(text)
    if vertex is not None:
        base = text[: vertex.start()]
        dated = f"{base}-{vertex[1]}"
        return Spelling((dated,) if vertex[1].isdigit() else (base, dated), regional)
    return Spelling((text, text.removesuffix("-latest")), regional)


def _without_place(text: str) -> tuple[str, str | None]:
    """The id, and the region where the text names one."""
    path = _VERTEX_PATH.match(text)
    if path is not None:
        return text[path.end() :], path[1]
    arn = _BEDROCK_ARN.match(text)
    if arn is not None:
        text = text[arn.end() :]
    region = _BEDROCK_REGION.match(text)
    if region is not None:
        text = text[region.end() :]
    if text.startswith("anthropic."):
        text = _BEDROCK_VERSION.sub("", text.removeprefix("anthropic."))
    else:
        text = text.removeprefix("anthropic/")
    return text, region[1] if region is not None else None


def family_in(model_id: str) -> str | None:
    """The family named in an id, or None."""
    words = re.split(r"[^a-z]+", model_id.lower())
    return next((family for family in FAMILIES if family in words), None)

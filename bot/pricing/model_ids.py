"""How one model id is written in different places: Anthropic's API, Amazon Bedrock, Google Vertex.

Only the documented decorations are taken off, and what is left has to match a known id exactly: `claude-opus-5`
is the beginning of `claude-opus-5-5` and another model.
"""

import re
from dataclasses import dataclass

FAMILIES = ("fable", "mythos", "opus", "sonnet", "haiku")

_BEDROCK_REGION = re.compile(r"(us-gov|us|eu|apac|jp|au|ca|sa|global)\.(?=anthropic\.)")
_BEDROCK_ARN = re.compile(r"arn:aws[\w-]*:bedrock:[^/]*(?:foundation-model|inference-profile)/")
_BEDROCK_VERSION = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$")
_VERTEX_DATE = re.compile(r"@(\d{8}|latest|default)$")
_VERTEX_PATH = re.compile(r".*publishers/anthropic/models/")


@dataclass(frozen=True, slots=True)
class Spelling:
    """`candidates`: the ids it may stand for, the likeliest first. `regional`: served by one region at a premium."""

    candidates: tuple[str, ...]
    regional: bool


def spelled(model_id: str) -> Spelling:
    """What is left of an id without the decorations of the place where it was written."""
    text = model_id.strip()
    text = _BEDROCK_ARN.sub("", text)
    text = _VERTEX_PATH.sub("", text)
    region = _BEDROCK_REGION.match(text)
    if region is not None:
        text = text[region.end() :]
    if text.startswith("anthropic."):
        text = _BEDROCK_VERSION.sub("", text.removeprefix("anthropic."))
    elif text.startswith("anthropic/"):
        text = text.removeprefix("anthropic/")
    regional = region is not None and region[1] != "global"
    vertex = _VERTEX_DATE.search(text)
    if vertex is not None:
        base = text[: vertex.start()]
        dated = f"{base}-{vertex[1]}"
        return Spelling((dated,) if vertex[1].isdigit() else (base, dated), regional)
    return Spelling((text, text.removesuffix("-latest")), regional)


def family_in(model_id: str) -> str | None:
    """The family named in an id, or None."""
    words = re.split(r"[^a-z]+", model_id.lower())
    return next((family for family in FAMILIES if family in words), None)

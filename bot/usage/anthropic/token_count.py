"""Counts a prompt's tokens with Anthropic's free endpoint, for each model that may read it.

Source: platform.claude.com, Token counting: an ordinary API key, no charge, an estimate that depends on the model's
tokenizer and excludes the output.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from bot.usage.anthropic.client import TooLargeError, bounded_answer

log = logging.getLogger(__name__)

PATH = "/v1/messages/count_tokens"
TIMEOUT_SECONDS = 8
MOST_BYTES = 2**16


class _Answer(BaseModel):
    input_tokens: int = Field(ge=0)


class TokenCounter:
    """`key`: None if no ordinary API key is configured; then nothing is counted."""

    def __init__(self, http: httpx.AsyncClient, key: SecretStr | None, seconds: float = TIMEOUT_SECONDS) -> None:
        self._seconds = seconds
        self._http = http
        self._key = key

    @property
    def counts(self) -> bool:
        """Whether there is a key to count with."""
        return self._key is not None

    async def count(self, prompt: str, model_ids: Iterable[str]) -> Mapping[str, int]:
        """Tokens of `prompt` by model id; models that Anthropic does not count for are left out."""
        if self._key is None:
            return {}
        key, ids = self._key, list(model_ids)
        counts = await asyncio.gather(*(self._count(prompt, model_id, key) for model_id in ids))
        return {model_id: tokens for model_id, tokens in zip(ids, counts, strict=True) if tokens is not None}

    async def _count(self, prompt: str, model_id: str, key: SecretStr) -> int | None:
        asked = {"model": model_id, "messages": [{"role": "user", "content": prompt}]}
        headers = {"x-api-key": key.get_secret_value(), "anthropic-version": "2023-06-01"}
        try:
            request = self._http.build_request("POST", PATH, json=asked, headers=headers, timeout=self._seconds)
            async with asyncio.timeout(self._seconds):
                answer, body = await bounded_answer(self._http, request, MOST_BYTES)
        except (
            TimeoutError,
            TooLargeError,
            httpx.HTTPError,
            httpx.InvalidURL,
            ValueError,
            OverflowError,
            ExceptionGroup,
        ) as error:
            log.warning("a prompt could not be counted for %s: %s", model_id, type(error).__name__)
            return None
        if answer.status_code != 200:
            log.warning("a prompt could not be counted for %s: HTTP %s", model_id, answer.status_code)
            return None
        try:
            return _Answer.model_validate_json(body).input_tokens
        except ValidationError:
            log.warning("a prompt could not be counted for %s: the answer is malformed", model_id)
            return None

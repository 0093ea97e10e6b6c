"""Follows the team's fallback mode in a daemon thread, so that asking for it costs one dictionary look-up."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping

from claude_cost_client.ceiling import MODE_VARIABLE, NORMAL, WHOLE_CHAIN_VARIABLE, Ceiling, ceiling_from
from claude_cost_client.source import PACE, EnvFileSource, HttpSource, Pace, Source
from claude_cost_client.wire import secret_in

log = logging.getLogger("claude_cost.client")

URL_VARIABLE = "CLAUDE_COST_FALLBACK_URL"
FILE_VARIABLE = "CLAUDE_COST_FALLBACK_FILE"
TOKEN_VARIABLE = "CLAUDE_COST_READ_TOKEN"
DEFAULT_FILE = "claude-cost.env"

MOST_MODELS = 1000
"""More models than exist; bounds the memory of an application that passes on arbitrary names."""


class Follower:
    """The current mode. Nothing is read and no thread runs before the first question.

    `models`: preferred model → model to use, for the current mode; replaced as a whole with the mode.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, pace: Pace = PACE) -> None:
        self._pace = pace
        self._environ = environ
        self._watches_forks = False
        self._reset()

    def _reset(self) -> None:
        """Reset to the state before the first question; also in a child process, which has none of its parent's
        threads.
        """
        self.models: dict[str, str] = {}
        self._known: tuple[Ceiling, dict[str, str]] | None = None
        self._stopped = threading.Event()
        self._starting = threading.Lock()

    def answer(self, preferred: str) -> str:
        """The model to use now, computed from the ceiling and cached in `models`."""
        ceiling, models = self._known or self._start()
        model = ceiling.applied_to(preferred)
        if len(models) < MOST_MODELS:
            # Use the dictionary of this ceiling: a newer mode has another one.
            models[preferred] = model
        return model

    def ceiling(self) -> Ceiling:
        """The current ceiling."""
        return (self._known or self._start())[0]

    def close(self) -> None:
        """End the thread; the last known mode stays."""
        self._stopped.set()

    def restart(self) -> None:
        """Forget the mode and end the thread: the next question reads the environment again."""
        self.close()
        self._reset()

    def _start(self) -> tuple[Ceiling, dict[str, str]]:
        with self._starting:
            if self._known is not None:
                return self._known
            source = self._source()
            # A file can be read at once; do not wait for a server's response.
            variables = source.at_once()
            known = self._learn(self._environ if variables is None else variables)
            if known is None:
                known = self._learn(self._environ) or self._learn({MODE_VARIABLE: NORMAL})
            assert known is not None
            if not self._watches_forks and hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._reset)
                self._watches_forks = True
            thread = threading.Thread(
                target=source.follow, args=(self._learn, self._stopped), name="claude-cost-fallback", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                log.warning("no thread can be started (%s); the fallback mode stays as it is now", error)
            return known

    def _source(self) -> Source:
        url = self._environ.get(URL_VARIABLE)
        if url:
            return HttpSource(url, self._token, self._pace)
        path = self._environ.get(FILE_VARIABLE)
        return EnvFileSource(path or DEFAULT_FILE, bool(path), self._pace)

    def _token(self) -> str | None:
        return secret_in(self._environ, TOKEN_VARIABLE)

    def _learn(self, variables: Mapping[str, str]) -> tuple[Ceiling, dict[str, str]] | None:
        """Adopt a mode's variables; returns None and changes nothing if they are not a mode's."""
        ceiling = ceiling_from(variables, self._environ.get(WHOLE_CHAIN_VARIABLE))
        if ceiling is None:
            return None
        if self._known is None or self._known[0] != ceiling:
            if self._known is not None:
                log.info("fallback mode %s: at most %s", variables[MODE_VARIABLE], ceiling.model or "any model")
            self._known = ceiling, {}
            self.models = self._known[1]
        return self._known

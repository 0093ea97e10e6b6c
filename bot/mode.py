"""Modes: named sets of environment variables. `normal` always exists and sets no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NORMAL = "normal"
DEGRADED = "degraded"
MINIMAL = "minimal"

MODE_VARIABLE = "CLAUDE_FALLBACK_MODE"
MODEL_VARIABLE = "CLAUDE_MODEL"
CHAIN_VARIABLE = "CLAUDE_FALLBACK_CHAIN"


@dataclass(frozen=True, slots=True)
class Mode:
    """`variables` as written for the services, in order."""

    name: str
    variables: Mapping[str, str]

    @property
    def ceiling(self) -> str | None:
        """The most expensive model that services may use in this mode; None if the mode sets none."""
        return self.variables.get(MODEL_VARIABLE)


def modes_from_chain(chain: Sequence[str], configured: Mapping[str, Mapping[str, str]]) -> dict[str, Mode]:
    """The modes by name, `normal` first: those of the chain, then the configured ones, which override them.

    `chain`: at least two model ids, most expensive first. `configured`: variables by mode name.
    """
    modes = {
        NORMAL: _mode(NORMAL, {}),
        DEGRADED: _step_down(DEGRADED, chain[1:]),
        MINIMAL: _step_down(MINIMAL, chain[-1:]),
    }
    for name, variables in configured.items():
        modes[name] = _mode(name, variables)
    return modes


def _step_down(name: str, models: Sequence[str]) -> Mode:
    return _mode(name, {MODEL_VARIABLE: models[0], CHAIN_VARIABLE: ",".join(models)})


def _mode(name: str, variables: Mapping[str, str]) -> Mode:
    return Mode(name, {MODE_VARIABLE: name, **variables})

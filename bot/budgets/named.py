"""Callers under the names that people know, for facts: ids of workspaces and keys that have no known name stay ids."""

from collections.abc import Mapping

from bot.budgets.budget_spend import NamedCause, NamedMover
from bot.budgets.causes import Cause
from bot.budgets.trend import Mover


def named_mover(
    mover: Mover,
    workspaces: Mapping[str, str],
    keys: Mapping[str, str],
    *,
    seen_before: bool | None = None,
    by_mode: bool = False,
) -> NamedMover:
    """`workspaces` and `keys`: names by id. `seen_before`, `by_mode`: as in the facts."""
    return NamedMover(
        model=mover.model,
        workspace=workspaces.get(mover.workspace_id, mover.workspace_id),
        key=_key(mover.api_key_id, keys),
        usd=mover.usd,
        before_usd=mover.before_usd,
        seen_before=seen_before,
        by_mode=by_mode,
    )


def named_cause(
    cause: Cause, workspaces: Mapping[str, str], keys: Mapping[str, str], *, by_mode: bool = False
) -> NamedCause:
    """`workspaces` and `keys`: names by id. `by_mode`: as in the facts."""
    return NamedCause(
        kind=cause.kind,
        model=cause.model,
        workspace=workspaces.get(cause.workspace_id, cause.workspace_id),
        key=_key(cause.api_key_id, keys),
        usd=cause.usd,
        before=cause.before,
        after=cause.after,
        by_mode=by_mode,
    )


def _key(api_key_id: str | None, keys: Mapping[str, str]) -> str | None:
    return None if api_key_id is None else keys.get(api_key_id, api_key_id)

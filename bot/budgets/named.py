"""Callers under the names that people know: ids of workspaces and keys that have no known name stay ids."""

from datetime import datetime

from bot.budgets.budget_spend import NamedCause, NamedMover
from bot.budgets.causes import Cause
from bot.budgets.trend import Mover
from bot.usage.store_reads import Names


def named_mover(
    mover: Mover,
    names: Names,
    *,
    seen_before: bool | None = None,
    by_mode: bool = False,
    since: datetime | None = None,
) -> NamedMover:
    """`seen_before`, `by_mode`, `since`: as in `NamedMover`."""
    return NamedMover(
        model=mover.model,
        workspace=names.workspaces.get(mover.workspace_id, mover.workspace_id),
        key=_key(mover.api_key_id, names),
        usd=mover.usd,
        before_usd=mover.before_usd,
        seen_before=seen_before,
        by_mode=by_mode,
        logged=names.logged,
        since=since,
    )


def named_cause(cause: Cause, names: Names, *, by_mode: bool = False) -> NamedCause:
    """`by_mode`: as in `NamedCause`."""
    return NamedCause(
        kind=cause.kind,
        model=cause.model,
        workspace=names.workspaces.get(cause.workspace_id, cause.workspace_id),
        key=_key(cause.api_key_id, names),
        usd=cause.usd,
        before=cause.before,
        after=cause.after,
        by_mode=by_mode,
        logged=names.logged,
    )


def _key(api_key_id: str | None, names: Names) -> str | None:
    if names.logged:
        return names.keys.get(api_key_id or "", "") or None
    return None if api_key_id is None else names.keys.get(api_key_id, api_key_id)

"""How the local Slack refuses."""

from typing import Any


class ApiError(Exception):
    """A call that Slack answers with `ok: false`. `details` are the answer's further fields."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


class NotDispatchedError(Exception):
    """What a person sees when the app did not take what they did: `dispatch_failed`, `operation_timeout`."""


def invalid_blocks(problems: list[str]) -> ApiError:
    """The refusal of blocks that break a limit, with where and why."""
    second_table = any("only_one_table_allowed" in problem for problem in problems)
    code = "invalid_attachments" if second_table else "invalid_blocks"
    return ApiError(code, response_metadata={"messages": problems})

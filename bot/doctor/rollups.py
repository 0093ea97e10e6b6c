"""Whether the sums by day that are kept beside the rows of usage equal them. Reads every row: on request only."""

from sqlalchemy.exc import SQLAlchemyError

from bot.db.engine import DatabaseError, look_into
from bot.doctor.check import Check, State
from bot.doctor.database import NOT_READ, missing_file
from bot.phrases import count
from bot.usage.store import UsageStore

NAME = "rollups"

MOST_NAMED = 3
"""Days that the finding names."""

CONNECT_SECONDS = 8


def check_rollups(url: str, *, repair: bool) -> Check:
    """Compare every sum with its rows; where they differ and `repair` is set, make all sums anew. Synchronous."""
    if missing_file(url) is not None:
        return Check(NAME, State.SKIPPED, NOT_READ)
    try:
        engine, schema = look_into(url, CONNECT_SECONDS)
    except DatabaseError:
        return Check(NAME, State.SKIPPED, NOT_READ)
    try:
        if schema.present != schema.newest:
            return Check(NAME, State.SKIPPED, NOT_READ)
        store = UsageStore(engine)
        wrong = store.wrong_days()
        if wrong and repair:
            store.rebuild_rollups()
    except SQLAlchemyError as error:
        text = f"The sums by day could not be compared with their rows ({type(error).__name__})."
        return Check(NAME, State.FAIL, text, "Stop the bot, and try again.")
    finally:
        engine.dispose()
    if not wrong:
        return Check(NAME, State.OK, "Every sum by day equals the rows of usage that it is made of.")
    named = ", ".join(day.isoformat() for day in wrong[:MOST_NAMED])
    others = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    days = f"{count(len(wrong), 'day')} ({named}{others})"
    if repair:
        return Check(NAME, State.OK, f"The sums of {days} differed from the rows of usage: all sums were made anew.")
    text = f"The sums of {days} differ from the rows of usage: what is shown of older days may be wrong."
    return Check(NAME, State.FAIL, text, "Make them anew: claude-cost doctor --repair")

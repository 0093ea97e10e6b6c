"""Ids of users as keyed hashes: equal users stay equal, and nobody can read who they are without the database."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import state
from bot.ledger.model import Dimensions

KEY = "ledger_user_key"
"""In the table `state`."""

HEX_DIGITS = 16
"""Of a stored hash: two of a million users share one with a chance of 1 in 10^7."""

_NAMES_A_USER = re.compile(
    r"(?:.*[._-])?(?:end)?user(?:s|id|name|email)?(?:[._-].*)?|.*e[._-]?mail.*|.*account[._-]?uuid.*", re.IGNORECASE
)
"""Names of tags whose value says who a user is."""


def user_key(engine: Engine) -> bytes:
    """The key of this database's hashes, made once, whichever copy of the bot asks first."""
    query = select(state.c.value).where(state.c.key == KEY)
    with engine.begin() as connection:
        found = connection.execute(query).scalar_one_or_none()
        if found is None:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            made = dialect.insert(state).values(key=KEY, value=secrets.token_hex(32))
            connection.execute(made.on_conflict_do_nothing())
            found = connection.execute(query).scalar_one()
    return bytes.fromhex(found)


def user_hash(key: bytes) -> Callable[[str], str]:
    """The function that hashes an id of a user."""

    def hashed(user_id: str) -> str:
        return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:HEX_DIGITS]

    return hashed


def without_names(dimensions: Dimensions, hashed: Callable[[str], str]) -> Dimensions:
    """The same dimensions with hashes for who the user is, in tags too."""
    user_id = None if dimensions.user_id is None else hashed(dimensions.user_id)
    tags = tuple((name, hashed(value) if _NAMES_A_USER.fullmatch(name) else value) for name, value in dimensions.tags)
    return dimensions._replace(user_id=user_id, tags=tags)

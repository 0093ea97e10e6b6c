"""Why a database cannot be used, in words of our own.

Drivers quote what they were given, which may be a part of the password where the address is written wrongly. So nothing
of theirs is passed on but words that are known to be theirs.
"""

import re
import sqlite3

from sqlalchemy.exc import ArgumentError


class UnknownRevisionError(ValueError):
    """The database has a revision of the schema that only a newer version of the bot knows; the text is it."""


_KNOWN = (
    ("has not answered", "the server has not answered in time"),
    ("password authentication failed", "the server refuses the user or the password"),
    ("no password supplied", "the server asks for a password, and the address has none"),
    ("no pg_hba.conf entry", "the server's pg_hba.conf does not let this user in from here"),
    ("certificate verify failed", "the server's certificate cannot be verified"),
    ("root certificate file", "the file of sslrootcert cannot be read"),
    ("certificate file", "the file of sslcert cannot be read"),
    ("private key file", "the file of sslkey cannot be read, or its rights are too wide"),
    ("does not support ssl", "the server speaks no TLS, which sslmode asks for"),
    ("invalid sslmode", "sslmode must be disable, allow, prefer, require, verify-ca or verify-full"),
    ("weak sslmode", "sslmode is too weak for the other options"),
    ("definition of service", "the service of the address is in no service file"),
    ("service file", "the service file cannot be read"),
    ("invalid connection option", "the address has an option that PostgreSQL does not know"),
    ("invalid uri query parameter", "the address has an option that PostgreSQL does not know"),
    ("invalid integer value", "an option of the address must be a whole number"),
    ("invalid port number", "the port is a number from 1 to 65535"),
    ("could not parse network address", "hostaddr must be an IP address"),
    ("bad value for", "an option of the address has a value that PostgreSQL does not know"),
    ("invalid", "an option of the address has a value that PostgreSQL does not know"),
    ("connection refused", "connection refused: nothing listens at that host and port"),
    ("could not translate host name", "the name of the host cannot be found"),
    ("name or service not known", "the name of the host cannot be found"),
    ("timeout expired", "connection timed out"),
    ("timed out", "connection timed out"),
    ("network is unreachable", "connection impossible: the network cannot be reached"),
    ("no route to host", "connection impossible: there is no way to that host"),
    ("no such file or directory", "connection impossible: no PostgreSQL listens on this machine's socket"),
    ("server closed the connection", "the server closed the connection"),
    ("too many c", "the server has too many connections already"),
    ("remaining connection slots", "the server has too many connections already"),
    ("starting up", "the server is starting up"),
    ("shutting down", "the server is shutting down"),
    ("permission denied", "the user lacks rights in that database"),
    ("must be owner", "the user does not own the tables"),
    ("already exists", "there is a table of the same name that is not the bot's"),
    ("read-only", "the server is read-only"),
)
"""What a message of PostgreSQL or libpq says, in small letters, and what people read instead."""

_MISSING = re.compile(r'(database|role) ".*" does not exist', re.DOTALL)
_NO_DIALECT = re.compile(r"Can't load plugin: sqlalchemy\.dialects:([a-z]{1,16}(?:\.[a-z]{1,16})?)")


def reason_of(error: BaseException) -> str:
    """One clause that quotes nothing of the address."""
    cause = getattr(error, "orig", None) or error
    text = str(cause)
    if isinstance(cause, sqlite3.Error):
        # SQLite's own texts name tables at most.
        return text.strip().splitlines()[0] if text.strip() else type(cause).__name__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if (dialect := _NO_DIALECT.fullmatch(text)) is not None:
        return f"{dialect[1]} is no kind of database that the bot knows"
    if (missing := _MISSING.search(text)) is not None:
        return f"the {'user' if missing[1] == 'role' else missing[1]} does not exist there"
    lower = text.lower()
    for sign, clause in _KNOWN:
        if sign in lower:
            return clause
    if isinstance(cause, ArgumentError | ValueError | TypeError):
        return "an option of the address is none that can be used"
    state = getattr(cause, "sqlstate", None)
    return type(cause).__name__ if not state else f"{type(cause).__name__}, SQLSTATE {state}"

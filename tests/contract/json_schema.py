"""Values against a JSON schema."""

from typing import Any


def fault_by(schema: dict[str, Any], value: object) -> str | None:
    """What the schema refuses; None if nothing."""
    # Its import takes a second, which every process would spend that collects the tests.
    from jsonschema import ValidationError, validate

    try:
        validate(value, schema)
    except ValidationError as error:
        return str(error.message)
    return None

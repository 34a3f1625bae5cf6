"""Values from outside in messages: never whole, since a few bytes can stand for a text that never ends."""

from typing import Any

_LONGEST = 80  # characters of a text
_NUMBERS_OF_DIGITS = 10**40


def shown(value: Any) -> str:
    """Return a short form of plain data for a message; of other objects no more than the type."""
    if isinstance(value, int) and abs(value) > _NUMBERS_OF_DIGITS:
        return "a number of more than 40 digits"
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}..."
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (tuple, list)) and all(isinstance(item, (int, float, str)) for item in value[:4]):
        return f"({', '.join(shown(item) for item in value[:4])}{', ...' if len(value) > 4 else ''})"
    return f"a {type(value).__name__}"

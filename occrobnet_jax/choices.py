"""Checks the values of configuration records, so that a wrong one stops the start with the right ones named."""

import dataclasses
import operator
import typing
from typing import Any

BOUNDS = {"at least": operator.ge, "above": operator.gt, "at most": operator.le, "below": operator.lt}


def ranged(default: int | float, **bounds: int | float) -> Any:
    """Return a field of a configuration record with what its value must be.

    Args:
        default: its value.
        **bounds: of `BOUNDS`, with underscores: at_least=0, below=1.
    """
    return dataclasses.field(default=default, metadata={name.replace("_", " "): bounds[name] for name in bounds})


def check_choices(record: Any, prefix: str) -> None:
    """Compare every `Literal` field of a dataclass instance, and every `ranged` one, with what it admits.

    Args:
        record: the dataclass instance.
        prefix: where it stands in the config, for the message.

    Raises:
        ValueError: a field holds a value that its `Literal` does not list, or one that is out of its range.
    """
    for name, field in record.__dataclass_fields__.items():
        value = getattr(record, name)
        if typing.get_origin(field.type) is typing.Literal and value not in typing.get_args(field.type):
            raise ValueError(f"{prefix}.{name}={value!r} is not one of {list(typing.get_args(field.type))}")
        if not all(BOUNDS[words](value, bound) for words, bound in field.metadata.items()):
            wanted = " and ".join(f"{words} {bound}" for words, bound in field.metadata.items())
            raise ValueError(f"{prefix}.{name}={value} must be {wanted}")

"""Checks the values of configuration records, so that a wrong one stops the start with the right ones named."""

import typing
from typing import Any


def check_choices(record: Any, prefix: str) -> None:
    """Compare every `Literal` field of a dataclass instance with what it admits.

    Args:
        record: the dataclass instance.
        prefix: where it stands in the config, for the message.

    Raises:
        ValueError: a field holds a value that its `Literal` does not list.
    """
    for name, field in record.__dataclass_fields__.items():
        value = getattr(record, name)
        if typing.get_origin(field.type) is typing.Literal and value not in typing.get_args(field.type):
            raise ValueError(f"{prefix}.{name}={value!r} is not one of {list(typing.get_args(field.type))}")

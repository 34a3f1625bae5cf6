"""Between an `Experiment` and what holds one outside: a `ConfigDict`, the command line, config.json."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from occrobnet_jax.runs.experiment import Experiment


def experiment_from(config: Mapping[str, Any]) -> Experiment:
    """Return the record for a `ConfigDict` or what `config.json` holds.

    Raises:
        ValueError: a name that does not exist, with the nearest ones that do; a value of the wrong type, or one that
            its record does not admit.
    """
    return _record(Experiment, config, "config")


def config_of(experiment: Experiment) -> dict[str, Any]:
    """Return the inverse of `experiment_from`, as nested dictionaries of plain values."""
    return dataclasses.asdict(experiment)


def config_names(record: Any, prefix: str = "config") -> list[str]:
    """Return every name of a record and of those inside it, such as "config.model.ciet"."""
    names = []
    for name, kind in typing.get_type_hints(record).items():
        inner = config_names(kind, f"{prefix}.{name}") if dataclasses.is_dataclass(kind) else []
        names += inner or [f"{prefix}.{name}"]
    return names


def unknown_name(name: str) -> ValueError:
    """Return the error for a name such as "config.modl.ciet"."""
    names = config_names(Experiment)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    last = name.rsplit(".", 1)[-1]
    near += [other for other in names if other.rsplit(".", 1)[-1] == last and other not in near]
    return ValueError(f"{name} does not exist; the nearest names are {', '.join(near) or 'none'}")


def _record(kind: type, values: Mapping[str, Any], prefix: str) -> Any:
    fields = typing.get_type_hints(kind)
    for name in values:
        if name not in fields:
            raise unknown_name(f"{prefix}.{name}")
    return kind(**{name: _value(fields[name], value, f"{prefix}.{name}") for name, value in values.items()})


def _value(kind: Any, value: Any, name: str) -> Any:
    """`value` as a field of type `kind` holds it: JSON has no tuples and writes 1.0 as 1."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name}={value!r} must be a group of settings")
        return _record(typing.cast(type, kind), value, name)
    origin, accepted = typing.get_origin(kind), kind
    if origin is Literal:
        return value
    if origin is tuple:
        value, accepted = _tuples(value), tuple
    elif origin in (typing.Union, types.UnionType):
        accepted = typing.get_args(kind)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is int):
        raise ValueError(f"{name}={value!r} must be of type {getattr(accepted, '__name__', accepted)}")
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value

"""Between an `Experiment` and what holds one outside: a `ConfigDict`, the command line, config.json."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Literal

from occrobnet_jax.files.shown import shown
from occrobnet_jax.runs.experiment import Experiment

_LARGEST = 10**300  # of a whole number that stands for a fraction
MANO_FOLDER = "mano"  # where MANO's files are looked for if the user names no other folder


def experiment_from(config: Mapping[str, Any]) -> Experiment:
    """Return the record for a `ConfigDict` or what `config.json` holds.

    Raises:
        ValueError: a name that does not exist, with the nearest ones that do; a value of the wrong type, or one that
            its record does not admit.
    """
    return _record(Experiment, config, "config")


def foreign_experiment(config: Mapping[str, Any], hand_model: str = MANO_FOLDER) -> Experiment:
    """Return the record of a config that came with a checkpoint, without the places that it names.

    A checkpoint may be anyone's: what is read, written or run is named by the user alone.

    Args:
        config: as a checkpoint or `config.json` holds it.
        hand_model: the user's folder of MANO files, for a network that poses MANO's hands.

    Raises:
        ValueError: as `experiment_from`.
    """
    experiment, own = experiment_from(config), Experiment()
    model = dataclasses.replace(
        experiment.model,
        backbone_weights=own.model.backbone_weights,
        hand_model=hand_model if experiment.model.hand_model else "",
    )
    return dataclasses.replace(
        experiment,
        compilation_cache_dir=own.compilation_cache_dir,
        init_from=own.init_from,
        data=dataclasses.replace(experiment.data, data_dir=own.data.data_dir),
        model=model,
    )


def places_of(experiment: Experiment) -> list[str]:
    """Return the flags that give a foreign experiment back the places that an evaluation reads."""
    foreign = foreign_experiment(config_of(experiment))
    places = {name: attrgetter(name) for name in ("data.data_dir", "model.hand_model")}
    return [f"--config.{name}={of(experiment)}" for name, of in places.items() if of(experiment) != of(foreign)]


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
    if len(name) > 2 * max(map(len, names)):
        return ValueError(f"{shown(name)} does not exist: no name is so long")
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
    """Return `value` as a field of type `kind` holds it: JSON has no tuples and writes 1.0 as 1."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name}={shown(value)} must be a group of settings")
        return _record(typing.cast(type, kind), value, name)
    origin, accepted = typing.get_origin(kind), kind
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise ValueError(f"{name}={shown(value)} is not one of {list(typing.get_args(kind))}")
        return value
    if origin is tuple:
        return _tuple(kind, value, name)
    if origin in (typing.Union, types.UnionType):
        accepted = typing.get_args(kind)
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        value = float(value)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is int):
        raise _wrong_type(name, value, getattr(accepted, "__name__", accepted))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={value} must be a finite number")
    return value


def _tuple(kind: Any, value: Any, name: str) -> tuple[Any, ...]:
    """Return `value`, a list in JSON, as a tuple of the types that `kind` lists, or of any length where it ends in
    `...`.
    """
    kinds = typing.get_args(kind)
    if not isinstance(value, list | tuple):
        raise _wrong_type(name, value, "tuple")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{name}={shown(value)} must have {len(kinds)} values")
    return tuple(_value(*item, f"{name}[{i}]") for i, item in enumerate(zip(kinds, value, strict=True)))


def _wrong_type(name: str, value: Any, expected: Any) -> ValueError:
    return ValueError(f"{name}={shown(value)} must be of type {expected}")

"""A run's whole configuration as one typed, frozen record; `configs/` writes it down, `config.json` keeps it."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from input_pipeline.config import DataConfig
from occrobnet_jax.choices import check_choices
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.parallel.hosts import HostsConfig
from occrobnet_jax.parallel.mesh import MeshConfig
from occrobnet_jax.training.loss_config import LossConfig
from occrobnet_jax.training.optimiser import OptimiserConfig
from occrobnet_jax.training.wandb_run import WandbConfig

OF_EMBEDDED_HAND = frozenset({"synthetic_hands"})
"""Datasets whose pose parameters are the embedded hand's; all others' are MANO's."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Fields of `config`. Steps are optimiser steps; a run is at step N when N of them are finished."""

    seed: int = 0
    total_steps: int = 100_000  # the schedule is laid out over these
    stop_after_steps: int = 0  # end here, with the schedule unchanged; 0 is total_steps
    init_from: str = ""  # workdir or checkpoint whose weights to start with, as far as both networks have them
    init_may_differ: tuple[str, ...] = ()  # parts that start anew where its shapes differ: ("decoder/queries",)
    global_batch_size: int = 32  # over all devices of all hosts
    accumulation_steps: int = 1  # microbatches that a batch is worked through in, one after another, to save memory
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of activations; parameters and losses are float32
    teacher_forced_steps: int = 0  # so many steps take tokens at the true joints instead of detected ones
    teacher_fading_steps: int = 0  # over so many steps after them, ever fewer of the examples do [ours]
    log_every_steps: int = 50
    eval_every_steps: int = 2_000  # and at the end; 0: never, that is left to eval.py
    checkpoint_every_steps: int = 2_000  # and always at the end
    keep_checkpoints: int = 3  # the newest ones
    keep_every_steps: int = 0  # and those of every so many steps; 0: none
    keep_best: str = "mpjpe_mm"  # and the one whose evaluation is best in this metric; "": none
    best_is: Literal["lowest", "highest"] = "lowest"
    root_depth: Literal["own", "ground_truth"] = "own"  # that evaluation puts hands at; matters in 2.5D only
    compilation_cache_dir: str = "~/.cache/occrobnet_jax"  # what XLA compiled before; "" is off
    hosts: HostsConfig = dataclasses.field(default_factory=HostsConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimiserConfig = dataclasses.field(default_factory=OptimiserConfig)
    wandb: WandbConfig = dataclasses.field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        check_choices(self, "config")
        for name in (
            "total_steps",
            "global_batch_size",
            "accumulation_steps",
            "log_every_steps",
            "checkpoint_every_steps",
            "keep_checkpoints",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"config.{name}={getattr(self, name)} must be at least 1")
        for name in (
            "seed",
            "stop_after_steps",
            "teacher_forced_steps",
            "teacher_fading_steps",
            "eval_every_steps",
            "keep_every_steps",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"config.{name}={getattr(self, name)} must not be negative")

    @property
    def loss_in_use(self) -> LossConfig:
        """Without the terms of pose parameters where the dataset's are of another hand than the network's."""
        if self.has_pose_labels:
            return self.loss
        return dataclasses.replace(self.loss, hand_pose=0.0, hand_shape=0.0)

    @property
    def has_pose_labels(self) -> bool:
        """Whether the dataset's `hand_pose` and `hand_shape` are of the hand that a network of angles poses."""
        names = set(self.data.name.split("+"))
        return names.isdisjoint(OF_EMBEDDED_HAND) if self.model.hand_model else names <= OF_EMBEDDED_HAND

    @property
    def last_step(self) -> int:
        """The step at which the process ends."""
        return min(self.stop_after_steps or self.total_steps, self.total_steps)


def experiment_from(config: Mapping[str, Any]) -> Experiment:
    """The record for a `ConfigDict` or what `config.json` holds.

    Raises:
        ValueError: a name that does not exist, with the nearest ones that do; a value of the wrong type, or one that
            its record does not admit.
    """
    return _record(Experiment, config, "config")


def config_of(experiment: Experiment) -> dict[str, Any]:
    """The inverse of `experiment_from`, as nested dictionaries of plain values."""
    return dataclasses.asdict(experiment)


def config_names(record: Any, prefix: str = "config") -> list[str]:
    """Every name of a record and of those inside it, such as "config.model.ciet"."""
    names = []
    for name, kind in typing.get_type_hints(record).items():
        inner = config_names(kind, f"{prefix}.{name}") if dataclasses.is_dataclass(kind) else []
        names += inner or [f"{prefix}.{name}"]
    return names


def unknown_name(name: str) -> ValueError:
    """The error for a name such as "config.modl.ciet"."""
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

"""Programs of a trained network as an earlier start traced them: tracing and checking took longer than all else."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax import export

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.inference.network import Network
from occrobnet_jax.runs.kept_programs import keep_program, path_for, read_program
from occrobnet_jax.runs.state import leaves_by_path
from occrobnet_jax.types import HandCells, Pose

for _kind in (Pose, HandCells):
    export.register_pytree_node_serialization(
        _kind,
        serialized_name=f"occrobnet_jax.{_kind.__name__}",
        serialize_auxdata=lambda _: b"",  # all their fields are arrays or None
        deserialize_auxdata=lambda _: (),
    )


def traced_programs(network: Network) -> dict[str, Callable[..., Any]]:
    """Return `pose`, and `cells` where there is a finder, of a network: kept ones, or else traced, and kept.

    Without a folder for compiled programs, and where a network is made of files of the user's, nothing is kept and
    the functions are returned as they are.

    Raises:
        ValueError: the network's arrays aren't those of its config; they are compared where they weren't before.
    """
    functions = {"pose": network.pose} | ({"cells": network.cells} if network.finds_hands else {})
    paths = {} if network.experiment.model.hand_model else {name: _path(network, name) for name in functions}
    kept = {name: program for name, path in paths.items() if path is not None and (program := read_program(path))}
    if len(kept) < len(functions):
        network.check()
    return {name: kept.get(name) or _traced(network, function, paths.get(name)) for name, function in functions.items()}


def _traced(network: Network, function: Callable[..., Any], path: AnyPath | None) -> Callable[..., Any]:
    if path is None:
        return function
    return keep_program(path, function, network.variables, *network.inputs[function.__name__].values())


def _path(network: Network, name: str) -> AnyPath | None:
    """Return the file of a program, by all that the network makes it of."""
    shapes = {path: (leaf.shape, leaf.dtype) for path, leaf in leaves_by_path(network.variables).items()}
    experiment, calibration = dataclasses.asdict(network.experiment), sorted(network.calibration.items())
    return path_for(name, network.inputs[name], experiment, calibration, sorted(shapes.items()))

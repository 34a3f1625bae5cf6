"""A trained network and what it computes, as functions of arrays alone: they are compiled for photos, or exported."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from occrobnet_jax.files.paths import AnyPath, path_of
from occrobnet_jax.inference.finder import SIZE_PX
from occrobnet_jax.models.decode import decode
from occrobnet_jax.models.finder import HandFinder
from occrobnet_jax.runs.calibration import Calibration, calibrated
from occrobnet_jax.runs.config import MANO_FOLDER, foreign_experiment
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.restored import Restored, check_variables
from occrobnet_jax.runs.trained import read_trained
from occrobnet_jax.types import HandCells, Pose, Predictions

IN_THE_BOX = Path(__file__).parent / "photo.safetensors"
"""The network that comes with the package, of `configs/photo.py`."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network; its functions take the variables as an argument, so that they are no constants in them."""

    experiment: Experiment
    step: int
    sha256: str  # of the checkpoint or file
    variables: dict[str, Any]
    calibration: Calibration = dataclasses.field(default_factory=dict)
    source: AnyPath = IN_THE_BOX

    def check(self) -> None:
        """Compare the variables with those that the config's network has.

        Raises:
            ValueError: names or shapes differ.
        """
        restored = Restored({}, self.variables, self.step, self.sha256)
        check_variables(make_model(self.experiment), self.experiment.data.input_size_px, restored, self.source)

    @property
    def inputs(self) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
        """What each of the two functions takes besides the variables, of one crop or photo."""
        size = self.experiment.data.input_size_px
        crop, photo = (jax.ShapeDtypeStruct((1, side, side, 3), jnp.uint8) for side in (size, SIZE_PX))
        camera = jax.ShapeDtypeStruct((1, 3, 3), jnp.float32)
        return {"pose": {"image": crop, "intrinsics": camera}, "cells": {"image": photo}}

    def pose(
        self, variables: dict[str, Any], image: UInt8[Array, "b h w 3"], intrinsics: Float[Array, "b 3 3"]
    ) -> Pose:
        """Read the hands off crops.

        Args:
            variables: of this network.
            image: RGB crops, `experiment.data.input_size_px` wide and high.
            intrinsics: camera of each crop, px.
        """
        predictions = typing.cast(Predictions, make_model(self.experiment).apply(variables, image, train=False))
        pose = decode(predictions, intrinsics, self.experiment.data.input_size_px, self.experiment.model)
        return calibrated(pose, self.calibration)

    @property
    def finds_hands(self) -> bool:
        """Whether it has a finder."""
        return self.experiment.model.finder_head

    def cells(self, variables: dict[str, Any], image: UInt8[Array, "b h w 3"]) -> HandCells:
        """Find the hands of photos, whose width and height are multiples of 32."""
        finder = HandFinder(self.experiment.model, make_model(self.experiment).dtype)
        return typing.cast(HandCells, finder.apply(variables, image))


def load_network(
    checkpoint: AnyPath | str | None = None, step: int | None = None, hand_model: str = MANO_FOLDER
) -> Network:
    """Return the network in the box, or that of a run or a file; the arguments are those of `load_predictor`.

    Raises:
        ValueError: there is no such checkpoint, it is damaged, or MANO's files are missing.
    """
    network = read_network(checkpoint, step, hand_model)
    network.check()
    return network


def read_network(
    checkpoint: AnyPath | str | None = None, step: int | None = None, hand_model: str = MANO_FOLDER
) -> Network:
    """Return the same, whose arrays nobody has compared with its config's yet: that takes seconds.

    Raises:
        ValueError: as `load_network`, but for such a difference.
    """
    source = IN_THE_BOX if checkpoint is None else path_of(checkpoint)
    restored = read_trained(source, step)
    experiment = foreign_experiment(restored.config, hand_model)
    return Network(experiment, restored.step, restored.sha256, restored.variables, restored.calibration, source)

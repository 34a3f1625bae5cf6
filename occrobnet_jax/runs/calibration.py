"""Probabilities that mean what they say: monotone maps of what a network says, fitted on a validation split.

A map is Platt's (Advances in Large Margin Classifiers, 1999): sigmoid(slope logit(p) + offset). Without an offset it is
a temperature (Guo et al., ICML 2017).
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import read_bytes
from occrobnet_jax.types import Pose

NEAREST = 1e-6  # to 0 and 1 that a probability is taken to be
CALIBRATED = ("hand_probability", "joint_confidence", "visibility_probability")
"""The fields of a pose that a map can be fitted for."""


class Platt(NamedTuple):
    """The map of one quantity."""

    slope: float  # positive
    offset: float


Calibration = Mapping[str, Platt]
"""The maps that there are, by the field of `Pose` that each is for."""


def calibrated(pose: Pose, calibration: Calibration) -> Pose:
    """Return a pose whose probabilities went through their maps."""
    fields = {name: getattr(pose, name) for name in calibration}
    mapped = {name: apply(calibration[name], value) for name, value in fields.items() if value is not None}
    return dataclasses.replace(pose, **mapped)


def apply(platt: Platt, probability: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the calibrated probabilities; NaN stays NaN."""
    p = jnp.clip(probability, NEAREST, 1 - NEAREST)
    return jax.nn.sigmoid(platt.slope * (jnp.log(p) - jnp.log1p(-p)) + platt.offset)


def calibration_json(calibration: Calibration) -> str:
    """Return the text that `calibration_from` reads."""
    return json.dumps({name: platt._asdict() for name, platt in calibration.items()}, indent=1) + "\n"


def calibration_from(text: str | bytes) -> Calibration:
    """Read a calibration.

    Raises:
        ValueError: it is none.
    """
    try:
        content = json.loads(text)
        return {_checked_name(name): _checked_map(value) for name, value in content.items()}
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"the calibration can't be read ({error}); evaluation.calibrate writes it") from error


def read_calibration(path: AnyPath) -> Calibration:
    """Read a calibration's file.

    Raises:
        ValueError: it is none.
        OSError: there is no such file.
    """
    return calibration_from(read_bytes(path, 1_000_000))


def _checked_name(name: str) -> str:
    if name not in CALIBRATED:
        raise ValueError(f"{name!r} is none of {', '.join(CALIBRATED)}")
    return name


def _checked_map(value: Any) -> Platt:
    slope, offset = float(value["slope"]), float(value["offset"])
    if not (math.isfinite(slope + offset) and slope > 0):
        raise ValueError(f"slope={slope} must be positive and offset={offset} finite")
    return Platt(slope, offset)

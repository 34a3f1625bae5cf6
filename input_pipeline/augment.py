"""What is done at random to a training example: drawn here, applied by `crop` (geometry) and `transforms`."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import UInt8

from input_pipeline.config import DataConfig
from input_pipeline.looks import PLAIN, Look, draw_look


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One draw; the defaults change nothing."""

    shift: tuple[float, float] = (0.0, 0.0)  # of the crop's centre, in sides of the crop
    scale: float = 1.0  # factor on the crop's side
    rotation_rad: float = 0.0  # of the picture, from x to y: clockwise on the screen
    flip: bool = False  # mirrors left and right, after the rotation
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors on R, G, B
    look: Look = PLAIN


NONE = Augmentation()


def draw(rng: np.random.Generator, data: DataConfig) -> Augmentation:
    """Draw an augmentation after Keypoint Transformer's recipe, with the ranges of the config.

    The number of draws doesn't depend on the config, so that turning one kind off leaves the others as they were.
    """
    shift = data.shift_share * rng.uniform(-1.0, 1.0, 2)
    scale = 1.0 + data.scale_share * float(np.clip(rng.normal(), -1.0, 1.0))
    angle = _angle(float(rng.normal()), data)
    is_rotated, is_flipped = rng.uniform(size=2) < (data.rotation_probability, data.flip_probability)
    color = 1.0 + data.colour_share * rng.uniform(-1.0, 1.0, 3)
    is_far, distance = rng.uniform(size=2)
    if is_far < data.zoom_out_probability:
        scale *= data.most_zoom_out**distance
    return Augmentation(
        shift=(float(shift[0]), float(shift[1])),
        scale=scale,
        rotation_rad=angle if is_rotated else 0.0,
        flip=bool(is_flipped),
        color=(float(color[0]), float(color[1]), float(color[2])),
        look=draw_look(rng, data),
    )


def _angle(drawn: float, data: DataConfig) -> float:
    """Return an angle, rad, of a normal number: the number clipped and scaled, or uniform by its distribution."""
    if data.rotation_max_deg:
        return math.radians(data.rotation_max_deg) * math.erf(drawn / math.sqrt(2))
    return math.radians(data.rotation_deg) * float(np.clip(drawn, -2.0, 2.0))


def scale_color(
    image: UInt8[np.ndarray, "h w 3"], color: tuple[float, float, float], out: UInt8[np.ndarray, "h w 3"]
) -> None:
    """Write the image to `out`, its channels multiplied by the given factors."""
    if color == NONE.color:
        np.copyto(out, image)
    else:  # a LUT gives the same and takes four times as long
        cv2.transform(image, np.diag(np.asarray(color, np.float32)), dst=out)

"""How a training example looks: light, lens, sensor and file as cameras differ in them, and things in front of it.

All of it is drawn here and done to the pixels of the crop. The order is that of a camera: what stands before the lens,
the lens, the sensor, the development of the picture, the file.
"""

import dataclasses
import functools
import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from input_pipeline.config import DataConfig
from input_pipeline.covers import Cover

BLUR_SIGMA_PX = (0.4, 1.6)
NOISE = (2.0, 14.0)  # standard deviation, of 255
JPEG_QUALITY = (20, 90)
MOST_OCCLUDERS = 3
HALF_AXES = (0.05, 0.22)  # of an occluder, in sides of the crop
TEXTURE = (0.0, 40.0)  # standard deviation of an occluder's colour, of 255
TILE_PX = 512  # of random numbers that are drawn once

Image = UInt8[np.ndarray, "h w 3"]
Place = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Occluder:
    """An ellipse or a rectangle in one color, or with a rough texture."""

    center: tuple[float, float]  # in sides of the crop
    half_axes: tuple[float, float]
    angle_deg: float
    is_ellipse: bool
    color: tuple[float, float, float]  # 0 to 255
    texture: float
    texture_at: Place

    def paint(self, image: Image) -> Bool[np.ndarray, "h w"]:
        """Draw it into a square image; return which pixels it covers."""
        mask = _mask(self, len(image))
        noise = _noise(self.texture_at, len(image))[mask]
        image[mask] = np.clip(np.array(self.color) + self.texture * noise, 0, 255).astype(np.uint8)
        return mask


@dataclasses.dataclass(frozen=True)
class Look:
    """One draw; the defaults change nothing."""

    contrast: float = 1.0
    brightness: float = 0.0  # of 1
    gamma: float = 1.0
    is_gray: bool = False
    blur_px: float = 0.0
    noise: float = 0.0
    noise_at: Place = (0, 0)
    jpeg_quality: int = 0  # 0: it isn't encoded
    occluders: tuple[Occluder | Cover, ...] = ()  # covers in corruption sweeps alone


PLAIN = Look()


def draw_look(rng: np.random.Generator, data: DataConfig) -> Look:
    """Draw what the config asks for. One number is taken from `rng`, whatever that is."""
    own = np.random.default_rng(rng.integers(2**63))
    contrast, brightness, gamma = own.uniform(-1.0, 1.0, 3)
    gray, blur, noise, jpeg, occluders = own.uniform(size=5)
    blur_px, noise_std, quality = (own.uniform(*span) for span in (BLUR_SIGMA_PX, NOISE, JPEG_QUALITY))
    noise_at = _place(own)
    count = own.integers(1, MOST_OCCLUDERS, endpoint=True) if occluders < data.occluder_probability else 0
    is_noisy = noise < data.noise_probability
    return Look(
        contrast=1.0 + data.contrast_share * float(contrast),
        brightness=data.brightness_share * float(brightness),
        gamma=math.exp(data.gamma_share * float(gamma)),
        is_gray=bool(gray < data.grey_probability),
        blur_px=float(blur_px) if blur < data.blur_probability else 0.0,
        noise=float(noise_std) if is_noisy else 0.0,
        noise_at=noise_at if is_noisy else (0, 0),
        jpeg_quality=round(quality) if jpeg < data.jpeg_probability else 0,
        occluders=tuple(_draw_occluder(own) for _ in range(count)),
    )


def _draw_occluder(rng: np.random.Generator) -> Occluder:
    center, half_axes = rng.uniform(0.0, 1.0, 2).tolist(), rng.uniform(*HALF_AXES, 2).tolist()
    red, green, blue = rng.uniform(0.0, 255.0, 3).tolist()
    return Occluder(
        center=(center[0], center[1]),
        half_axes=(half_axes[0], half_axes[1]),
        angle_deg=float(rng.uniform(0.0, 180.0)),
        is_ellipse=bool(rng.uniform() < 0.5),
        color=(red, green, blue),
        texture=float(rng.uniform(*TEXTURE)),
        texture_at=_place(rng),
    )


def _place(rng: np.random.Generator) -> Place:
    x, y = rng.integers(TILE_PX, size=2).tolist()
    return x, y


def occlude(image: Image, look: Look) -> Bool[np.ndarray, "h w"]:
    """Draw the occluders into a square image; return which pixels they cover."""
    covered = np.zeros(image.shape[:2], bool)
    for occluder in look.occluders:
        covered |= occluder.paint(image)
    return covered


def _mask(occluder: Occluder, size: int) -> Bool[np.ndarray, "size size"]:
    mask = np.zeros((size, size), np.uint8)
    center = tuple(size * value for value in occluder.center)
    axes = tuple(2 * size * value for value in occluder.half_axes)
    if occluder.is_ellipse:
        cv2.ellipse(mask, (center, axes, occluder.angle_deg), 1, cv2.FILLED)
    else:
        corners = cv2.boxPoints((center, axes, occluder.angle_deg))
        cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1)
    return mask > 0


def develop(image: Image, look: Look) -> None:
    """Change an image in its place: blur, noise, gamma, contrast and brightness, grey, JPEG."""
    if look.blur_px:
        cv2.GaussianBlur(image, (0, 0), look.blur_px, dst=image)
    if look.noise:
        noisy = image + np.float32(look.noise) * _noise(look.noise_at, len(image))
        np.copyto(image, np.clip(noisy, 0, 255).astype(np.uint8))
    if (look.contrast, look.brightness, look.gamma) != (1.0, 0.0, 1.0):
        cv2.LUT(image, _curve(look), dst=image)
    if look.is_gray:
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, dst=image)
    if look.jpeg_quality:
        _encode(image, look.jpeg_quality)


def _curve(look: Look) -> UInt8[np.ndarray, "256"]:
    """Return what becomes of each value."""
    values = np.linspace(0.0, 1.0, 256) ** look.gamma
    return np.clip(255 * (look.contrast * (values - 0.5) + 0.5 + look.brightness) + 0.5, 0, 255).astype(np.uint8)


def _encode(image: Image, quality: int) -> None:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # it has just been encoded
    cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=image)


def _noise(place: Place, size: int) -> Float[np.ndarray, "size size 3"]:
    """Return normal numbers, a part of a tile that is drawn once: to draw them anew takes longer than all else
    together.
    """
    x, y = place
    return _tile(size)[y : y + size, x : x + size]


@functools.cache
def _tile(margin: int) -> Float[np.ndarray, "side side 3"]:
    side = TILE_PX + margin
    return np.random.default_rng(0).standard_normal((side, side, 3), np.float32)

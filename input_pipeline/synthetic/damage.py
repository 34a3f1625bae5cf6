"""What cameras and files do to pictures: motion, darkness, white balance, grey, lost resolution, compression."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_JPEG_QUALITY = (30, 96)


def damaged(image: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """Return the picture (RGB) as a random camera would have kept it; most damages leave most pictures alone."""
    size = len(image)
    if rng.random() < 0.2:
        image = _moved(image, rng.exponential(6.0) * size / 256, rng.uniform(0, np.pi))
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8) * size / 256)
    if rng.random() < 0.2:
        image = _coarser(image, rng.uniform(0.25, 0.8))
    levels = np.arange(256) / 255.0
    curve = levels ** np.exp(rng.normal(0, 0.15)) * (np.exp(rng.normal(0, 0.06, (3, 1))) if rng.random() < 0.6 else 1)
    noise = 0.0
    if rng.random() < 0.08:
        curve, noise = curve * rng.uniform(0.3, 0.7), rng.uniform(2.0, 9.0)
    image = cv2.LUT(image, np.broadcast_to(_table(curve), (3, 256)).T[None].copy())
    if noise:
        grain = rng.normal(0, noise, image.shape).astype(np.float32)
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.07:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
    return image


def jpeg_quality(rng: np.random.Generator) -> int:
    """Return the quality of a picture's file."""
    return int(rng.integers(*_JPEG_QUALITY))


def _table(curve: Float[np.ndarray, "*c 256"]) -> UInt8[np.ndarray, "*c 256"]:
    return np.clip(np.rint(255 * curve), 0, 255).astype(np.uint8)


def _moved(image: np.ndarray, length_px: float, angle: float) -> np.ndarray:
    """Return the picture as if the camera had moved along a line while it was taken."""
    reach = int(np.ceil(length_px / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    step = np.array([np.cos(angle), np.sin(angle)]) * length_px / 2
    start, end = (np.rint(16 * (reach + sign * step)).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def _coarser(image: np.ndarray, share: float) -> np.ndarray:
    """Return the picture as if it had been enlarged from a smaller one."""
    size = len(image)
    small = cv2.resize(image, (max(round(share * size), 8),) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)

"""Procedural pictures: backgrounds, and the prints on objects. Nothing is copied from photographs."""

import cv2
import numpy as np
from jaxtyping import Float

_SKIN_LIKE = np.array([[0.83, 0.62, 0.5], [0.7, 0.5, 0.38], [0.55, 0.37, 0.26], [0.36, 0.23, 0.16], [0.9, 0.75, 0.66]])


def palette(rng: np.random.Generator, count: int) -> Float[np.ndarray, "c 3"]:
    """Draw colors that go together: muted ones around a few hues; now and then skin-like ones."""
    if rng.random() < 0.22:
        base = _SKIN_LIKE[rng.integers(len(_SKIN_LIKE), size=count)]
        return np.clip(base + rng.normal(0, 0.05, (count, 3)), 0, 1)
    hue = (rng.random() + rng.normal(0, rng.choice([0.03, 0.2]), count)) % 1
    saturation = rng.beta(1.3, 3.0, count) * 0.65
    value = rng.uniform(0.1, 0.95, count)
    hsv = np.stack([hue * 360, saturation, value], -1).astype(np.float32)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].astype(np.float64)


def noise(rng: np.random.Generator, size: int, octaves: int = 4) -> Float[np.ndarray, "s s"]:
    """Smooth noise between about -1 and 1, coarse and fine."""
    half = max(size // 2, 1)  # nothing in it is fine enough to need more
    total = np.zeros((half, half), np.float32)
    cells = int(rng.integers(2, 5))
    for octave in range(octaves):
        stretch = rng.choice([1, 1, 3]) if octave else 1
        grid = rng.normal(0, 0.6**octave, (cells + 1, cells * stretch + 1)).astype(np.float32)
        total += cv2.resize(grid, (half, half), interpolation=cv2.INTER_CUBIC)
        cells = min(2 * cells + 1, size)
    return cv2.resize(total, (size, size), interpolation=cv2.INTER_LINEAR) * 0.6


def background(rng: np.random.Generator, size: int) -> Float[np.ndarray, "s s 3"]:
    """Return a room-like picture, linear intensities 0 to 1: surfaces, things out of focus, grain."""
    blur = rng.choice([0.9, 2.5, 6.0])
    if blur > 1:  # what is out of focus anyway is drawn at half the size
        return cv2.resize(_room(rng, size // 2, blur / 2 * size / 256), (size, size), interpolation=cv2.INTER_LINEAR)
    return _room(rng, size, blur * size / 256)


def _room(rng: np.random.Generator, size: int, blur_px: float) -> Float[np.ndarray, "s s 3"]:
    colors = palette(rng, 8)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    gradient = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    mix = np.clip(0.5 + 0.35 * gradient + rng.uniform(0.02, 0.5) * noise(rng, size), 0, 1)[..., None]
    picture = ((1 - mix) * colors[0] + mix * colors[1]).astype(np.float32)
    if rng.random() < 0.75:
        _draw_things(picture, colors, int(rng.integers(1, 14)), rng)
    picture = cv2.GaussianBlur(picture, (0, 0), blur_px)
    picture *= 1 + rng.uniform(0, 0.08) * noise(rng, size, 5)[..., None]
    return cv2.pow(np.clip(picture, 0, 1).astype(np.float32), 2.2)


def print_image(rng: np.random.Generator, size: int = 128) -> Float[np.ndarray, "s s 3"]:
    """Return the print on an object, linear: plain, grained, banded, or a label with blocks and lines of writing."""
    colors = palette(rng, 6)
    picture = np.tile(colors[0], (size, size, 1)).astype(np.float32)
    kind = rng.choice(5, p=[0.25, 0.15, 0.2, 0.3, 0.1])
    if kind == 1:
        picture *= (1 + rng.uniform(0.1, 0.4) * noise(rng, size, 5)[..., None]).astype(np.float32)
    if kind == 2:
        for start in np.sort(rng.uniform(0, size, 4)):
            picture[int(start) : int(start + rng.uniform(2, 25))] = colors[rng.integers(1, 6)]
    if kind == 3:
        _draw_label(picture, colors, rng)
    if kind == 4:
        _draw_things(picture, colors, int(rng.integers(5, 20)), rng)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7).astype(np.float32)
    picture *= 1 + 0.04 * noise(rng, size, 5)[..., None]
    return cv2.pow(np.clip(picture, 0, 1).astype(np.float32), 2.2)


def _draw_label(picture: np.ndarray, colors: np.ndarray, rng: np.random.Generator) -> None:
    size = len(picture)
    low, high = sorted(rng.uniform(0.1, 0.9, 2) * size)
    picture[int(low) : int(high)] = colors[1]
    for _ in range(int(rng.integers(2, 9))):
        x, y = rng.uniform(0, size, 2).astype(int)
        width, height = int(rng.uniform(8, 60)), int(rng.uniform(2, 14))
        color = colors[rng.integers(1, 6)].tolist()
        for column in range(x, x + width, 5):  # short strokes read as writing
            cv2.rectangle(picture, (column, y), (column + int(rng.integers(1, 5)), y + height), color, -1)


def _draw_things(picture: np.ndarray, colors: np.ndarray, count: int, rng: np.random.Generator) -> None:
    size = len(picture)
    for _ in range(count):
        center = rng.uniform(-0.1, 1.1, 2) * size
        axes = rng.uniform(0.03, 0.35, 2) * size
        color = (colors[rng.integers(len(colors))] * rng.uniform(0.6, 1.1)).tolist()
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            corners = cv2.boxPoints((tuple(center), tuple(2 * axes), angle)).astype(np.int32)
            cv2.fillPoly(picture, [corners], color, lineType=cv2.LINE_AA)
        else:
            center_px, axes_px = center.astype(int).tolist(), axes.astype(int).tolist()
            cv2.ellipse(picture, center_px, axes_px, angle, 0, 360, color, -1, lineType=cv2.LINE_AA)

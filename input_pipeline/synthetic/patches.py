"""Room in a skin's atlas for what is not skin: prints, cloth and faces, so that one lookup colors everything."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.synthetic.backgrounds import noise, palette, print_image

PATCH_PX = 112
_MARGIN_PX = 3
_SKIN_WIDTH_PX = 648
_HAIR = np.array([[30, 24, 20], [70, 45, 25], [150, 110, 60], [120, 118, 115], [50, 30, 22]])

_METALS = np.array([[225, 190, 110], [215, 215, 215], [200, 150, 120], [60, 60, 62]])


def _patch(number: int) -> Float[np.ndarray, "2 2"]:
    """Return left top and right bottom (column, row) of a patch, beside the skin."""
    low = np.array([_SKIN_WIDTH_PX + _MARGIN_PX, number * (PATCH_PX + 2 * _MARGIN_PX) + _MARGIN_PX], np.float64)
    return np.stack([low, low + PATCH_PX - 1])


SKIN = np.array([[436.0, 30.0], [630.0, 200.0]])
"""Left top and right bottom of plain skin: the forearm's."""
PRINT, CLOTH, FACE = _patch(0), _patch(1), _patch(2)
_STRIP_PX = 40
METAL, LEATHER = (np.array([_patch(3)[0] + [left, 0], _patch(3)[0] + [left + 50, _STRIP_PX]]) for left in (0, 56))


def with_patches(atlas: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "h ww 3"]:
    """Return the atlas of a skin with a random print, cloth, and face of that skin beside it."""
    wide = cv2.copyMakeBorder(atlas, 0, 0, 0, PATCH_PX + 2 * _MARGIN_PX, cv2.BORDER_REPLICATE)
    (left, top), (right, bottom) = SKIN.astype(int)
    tone = atlas[top:bottom, left:right].reshape(-1, 3).mean(0)
    for place, picture in ((PRINT, _print(rng)), (CLOTH, _cloth(rng)), (FACE, _face(tone, rng))):
        column, row = place[0].astype(int) - _MARGIN_PX
        framed = cv2.copyMakeBorder(picture, *(_MARGIN_PX,) * 4, cv2.BORDER_REPLICATE)
        wide[row : row + len(framed), column : column + len(framed)] = framed
    column, row = _patch(3)[0].astype(int) - _MARGIN_PX
    wide[row : row + _STRIP_PX + 2 * _MARGIN_PX, column : column + 56] = _METALS[rng.integers(len(_METALS))]
    wide[row : row + _STRIP_PX + 2 * _MARGIN_PX, column + 56 :] = rng.uniform(10, 110) * rng.uniform(0.6, 1, 3)
    return wide


def _print(rng: np.random.Generator) -> UInt8[np.ndarray, "p p 3"]:
    return _bytes(np.clip(print_image(rng, PATCH_PX), 0, 1) ** (1 / 2.2))


def _cloth(rng: np.random.Generator) -> UInt8[np.ndarray, "p p 3"]:
    """Return a plain, striped, checked or printed cloth."""
    kind = rng.choice(4, p=[0.55, 0.15, 0.1, 0.2])
    if kind == 3:
        return _print(rng)
    first, second = palette(rng, 2) if rng.random() < 0.6 else np.repeat(rng.uniform(0.03, 0.9, (2, 1)), 3, axis=1)
    stripes = (np.arange(PATCH_PX) * rng.uniform(0.02, 0.2) % 1 < rng.uniform(0.2, 0.8)).astype(np.float64)
    down, across = stripes[:, None] * (kind > 0), stripes * (kind > 1)
    share = ((down + across) / max(kind, 1))[..., None]
    return _bytes((first + share * (second - first)) * (1 + 0.06 * noise(rng, PATCH_PX, 6)[..., None]))


def _face(tone: Float[np.ndarray, " 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "p p 3"]:
    """Return a head unrolled: its front in the middle, the crown above, hair around."""
    face = np.tile(tone, (PATCH_PX, PATCH_PX, 1)).astype(np.float32)
    face *= 1 + 0.05 * noise(rng, PATCH_PX, 5)[..., None]
    middle, hair = PATCH_PX // 2, (_HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.6, 1.3)).tolist()
    eye_row, lips = int(PATCH_PX * rng.uniform(0.46, 0.5)), (tone * [0.85, 0.55, 0.55]).tolist()
    for side in (-1, 1):
        eye = (middle + side * int(rng.integers(6, 9)), eye_row)
        cv2.ellipse(face, eye, (4, 2), 0, 0, 360, (225, 225, 220), -1, cv2.LINE_AA)
        cv2.circle(face, eye, 2, (40, 28, 22), -1, cv2.LINE_AA)
        cv2.ellipse(face, (eye[0], eye_row - 5), (5, 1), 0, 0, 360, hair, -1, cv2.LINE_AA)
    shade = (tone * 0.75).tolist()
    cv2.ellipse(face, (middle, eye_row + 9), (3, 1), 0, 0, 360, shade, -1, cv2.LINE_AA)
    cv2.line(face, (middle + 2, eye_row + 1), (middle + 3, eye_row + 8), shade, 1, cv2.LINE_AA)
    cv2.ellipse(face, (middle, eye_row + 17), (6, int(rng.integers(1, 4))), 0, 0, 360, lips, -1, cv2.LINE_AA)
    if rng.random() < 0.25:
        cv2.ellipse(face, (middle, eye_row + 21), (11, 6), 0, 0, 180, hair, 5, cv2.LINE_AA)
    cv2.GaussianBlur(face, (0, 0), 0.8, dst=face)
    if rng.random() < 0.9:
        face[: int(eye_row - rng.integers(9, 16))] = hair
        reach = int(rng.integers(20, 34))
        face[: int(PATCH_PX * rng.uniform(0.6, 0.9)), np.r_[0 : middle - reach, middle + reach : PATCH_PX]] = hair
    return np.clip(face, 0, 255).astype(np.uint8)


def _bytes(picture: np.ndarray) -> UInt8[np.ndarray, "p p 3"]:
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)

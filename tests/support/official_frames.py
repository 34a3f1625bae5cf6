"""What the generated official trees share: hands in front of a camera, and photos with a dot on every joint."""

from pathlib import Path

import cv2
import numpy as np

from occrobnet_jax.skeleton import LEFT, NUM_HANDS, NUM_JOINTS, RIGHT
from tests.support.marks import joint_colors

DOT_PX = 5
MANO_ROOT_M = {RIGHT: np.array([0.0957, 0.0064, 0.0062]), LEFT: np.array([-0.0957, 0.0064, 0.0062])}
"""Where MANO's hands have their wrists in rest pose."""


WRISTS_M = {RIGHT: np.array([0.07, 0.07, 0.7]), LEFT: np.array([-0.07, 0.07, 0.73])}


def project_plainly(points_m: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Pixels of points before a camera without skew."""
    px = points_m[..., :2] / points_m[..., 2:]
    return px * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]


def draw_dots(joints_px: np.ndarray, shown: np.ndarray, size_px: tuple[int, int], *, grey: bool = False) -> np.ndarray:
    """RGB photo of dots: red on right hands, blue on left ones, the greener the higher the joint's number."""
    image = np.zeros((size_px[1], size_px[0], 3), np.uint8)
    for hand in range(NUM_HANDS):
        for joint in range(NUM_JOINTS):
            if shown[hand, joint]:
                center = np.round(joints_px[hand, joint] * 16).astype(int).tolist()
                cv2.circle(image, center, 16 * DOT_PX, joint_colors()[hand, joint].tolist(), -1, cv2.LINE_AA, 4)
    return np.repeat(image.mean(-1, keepdims=True).astype(np.uint8), 3, -1) if grey else image


def write_image(path: Path, image: np.ndarray) -> None:
    """A JPEG or PNG, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else [])

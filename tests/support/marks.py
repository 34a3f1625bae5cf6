"""A photo on which every joint is a dot of its own colour, so that labels can be checked against pixels."""

import cv2
import numpy as np

from input_pipeline import schema
from occrobnet_jax.geometry.cameras import back_project
from occrobnet_jax.skeleton import WRIST

SIZE_PX = (360, 300)  # width, height
SPACING_PX = 40
CORNERS_REST_M = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)]) * [0.03, 0.05, 0.02]


def joint_colors() -> np.ndarray:
    """RGB of each joint's dot: red for the right hand, blue for the left, and green that rises with the joint."""
    colors = np.zeros((2, 21, 3))
    colors[0, :, 0] = colors[1, :, 2] = 230
    colors[..., 1] = 10 * np.arange(21)
    return colors


def marked_example(radius_px: float = 6.0, *, zoom: int = 1) -> schema.Example:
    """42 joints on a grid of well separated dots; two focal lengths, skew, depths and an object of their own.

    With `zoom` the same scene is taken with `zoom` times as many pixels.
    """
    rng = np.random.default_rng(3)
    width, height = SIZE_PX
    grid = np.array([(x, y) for y in range(6) for x in range(7)]) * SPACING_PX + 50.0
    joints_px = (grid + rng.uniform(-8, 8, grid.shape))[rng.permutation(42)].reshape(2, 21, 2)
    intrinsics = np.array([[620.0, 6.0, 171.0], [0.0, 480.0, 160.0], [0.0, 0.0, 1.0]])
    if zoom > 1:
        joints_px = zoom * (joints_px + 0.5) - 0.5
        intrinsics[:2] *= zoom
        intrinsics[:2, 2] += (zoom - 1) / 2
    example = schema.empty_example()
    joints_cam_m = back_project(joints_px, rng.uniform(0.5, 0.9, (2, 21)), intrinsics)
    example["joints_cam_m"] = joints_cam_m.astype(np.float32)
    example["intrinsics"] = intrinsics.astype(np.float32)
    for name in ("joints_annotated", "joints_in_image", "visibility", "hand_present", "root_known"):
        example[name] = np.ones_like(example[name])
    for name in ("hand_present_known", "labels_complete", "box_known", "object_known"):
        example[name] = np.uint8(1)
    example["visible_share"] = rng.uniform(0.5, 1.0, (2, 21)).astype(np.float32)
    example["root_cam_m"] = example["joints_cam_m"][:, WRIST]
    example["box_px"] = np.concatenate([joints_px.min((0, 1)), joints_px.max((0, 1))]).astype(np.float32)
    example["width"], example["height"] = np.int32(zoom * width), np.int32(zoom * height)
    example["object_id"], example["object_corners_rest_m"] = np.int32(7), CORNERS_REST_M.astype(np.float32)
    example["object_rotation"] = cv2.Rodrigues(np.array([0.4, -0.7, 1.1]))[0].astype(np.float32)
    example["object_translation_m"] = np.array([0.02, -0.03, 0.8], np.float32)
    example["image"], example["segmentation"] = _draw(joints_px, zoom * radius_px, example)
    example["key"] = example["sequence"] = example["camera"] = "marks"
    return example


def _draw(joints_px: np.ndarray, radius_px: float, example: schema.Example) -> tuple[bytes, bytes]:
    """PNG of soft-edged dots, exact to a fraction of a pixel, and PNG of their hands' labels."""
    image = np.zeros((example["height"], example["width"], 3))
    labels = np.zeros(image.shape[:2], np.uint8)
    for hand in range(2):
        for (x, y), color in zip(joints_px[hand], joint_colors()[hand], strict=True):
            part, distance = _surroundings(np.array([x, y]), radius_px + 2, image.shape)
            image[part] = np.clip(radius_px + 0.5 - distance, 0, 1)[..., None] * color
            labels[part] = np.where(distance < radius_px, hand + 1, 0)
    return (
        cv2.imencode(".png", np.rint(image).astype(np.uint8)[..., ::-1])[1].tobytes(),
        cv2.imencode(".png", labels)[1].tobytes(),
    )


def find_dot(image: np.ndarray, near_px: np.ndarray, reach_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Centre of brightness within `reach_px` of a point, and the colour there (the brightest pixel's)."""
    part, distance = _surroundings(near_px, reach_px, image.shape)
    weights = image[part].sum(-1) * (distance < reach_px)
    rows, columns = np.mgrid[part]
    center = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    return center, image[part].reshape(-1, 3)[weights.argmax()].astype(float)


def _surroundings(at_px: np.ndarray, reach_px: float, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Rows and columns of the pixels around a point, and their distances to it."""
    (x0, y0), (x1, y1) = np.floor(at_px - reach_px).astype(int), np.ceil(at_px + reach_px).astype(int) + 1
    part = slice(max(0, y0), min(y1, shape[0])), slice(max(0, x0), min(x1, shape[1]))
    rows, columns = np.mgrid[part]
    return part, np.hypot(columns - at_px[0], rows - at_px[1])

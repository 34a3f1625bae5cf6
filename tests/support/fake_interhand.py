"""A few drawn frames in the folders and files of InterHand2.6M v1.0, as its annotators would have written them."""

import json
from pathlib import Path

import cv2
import numpy as np

from occrobnet_jax.skeleton import LEFT, RIGHT
from tests.support.fake_datasets import rotation_matrix, stick_hand

SIZE_PX = (334, 512)  # width, height
HAND_TYPES = ("right", "left", "interacting", "interacting")
INVALID_COORDINATE_MM = 1.0  # what the dataset mostly holds where a joint is not annotated
OUT_OF_VIEW = 3  # frame whose fingertips leave the image


def write_fake_interhand(raw: Path, split: str = "test", *, capture: int = 3, images_below: str = "") -> Path:
    """Writes four frames of one sequence: a right hand, a left one, and both twice; returns `raw`.

    The last frame's camera looks past some joints. `images_below` is the folder that holds images/.
    """
    rng = np.random.default_rng(capture)
    images, annotations, frames = [], [], {}
    camera = {key: {} for key in ("campos", "camrot", "focal", "princpt")}
    for number, hand_type in enumerate(HAND_TYPES):
        name, frame = f"40{number:04d}", 100 + 6 * number
        _add_camera(camera, name, rng, aside_mm=150.0 if number == OUT_OF_VIEW else 0.0)
        world, valid = _hands_in_world_mm(rng, hand_type)
        px = _project(world, camera, name)
        file_name = f"Capture{capture}/0001_fake/cam{name}/image{frame}.jpg"
        _draw(raw / images_below / "images" / split / file_name, px, valid)
        frames[str(frame)] = {
            "world_coord": world.tolist(),
            "joint_valid": [[bool(each)] for each in valid],
            "hand_type": hand_type,
            "hand_type_valid": True,
        }
        width, height = SIZE_PX
        inside = valid & (px >= 0).all(-1) & (px[:, 0] < width) & (px[:, 1] < height)
        record = {"id": number, "file_name": file_name, "width": width, "height": height, "capture": capture}
        images.append(record | {"subject": 0, "seq_name": "0001_fake", "camera": name, "frame_idx": frame})
        labels = {"bbox": _box(px[inside]), "joint_valid": [[int(each)] for each in inside]}
        annotations.append(
            {"id": 1000 + number, "image_id": number, "hand_type": hand_type, "hand_type_valid": 1} | labels
        )
    folder = raw / "annotations" / split
    folder.mkdir(parents=True)
    contents = {
        "data": {"images": images, "annotations": annotations},
        "camera": {str(capture): camera},
        "joint_3d": {str(capture): frames},
    }
    for kind, content in contents.items():
        (folder / f"InterHand2.6M_{split}_{kind}.json").write_text(json.dumps(content))
    return raw


def _add_camera(camera: dict, name: str, rng: np.random.Generator, aside_mm: float) -> None:
    rotation = rotation_matrix(rng.uniform(-0.3, 0.3, 3))
    center_mm = np.array([50.0, -20.0, 1000.0])  # of the hands in the world; seen from about a metre
    camera["camrot"][name] = rotation.tolist()
    camera["campos"][name] = (center_mm - rotation.T @ np.array([aside_mm, 60.0, 1050.0])).tolist()
    camera["focal"][name] = [1262.0, 1274.0]
    camera["princpt"][name] = [171.5, 249.0]


def _hands_in_world_mm(rng: np.random.Generator, hand_type: str) -> tuple[np.ndarray, np.ndarray]:
    """World coordinates (42, 3) and the 3D mask (42,); one annotated coordinate is masked, as happens."""
    wrists = {RIGHT: np.array([90.0, 40.0, 1000.0]), LEFT: np.array([10.0, 40.0, 1020.0])}
    hands = [1000 * stick_hand(rng, hand) * 0.6 + wrists[hand] for hand in (RIGHT, LEFT)]
    valid = np.repeat([hand_type in ("right", "interacting"), hand_type in ("left", "interacting")], 21)
    world = np.where(valid[:, None], np.concatenate(hands), INVALID_COORDINATE_MM)
    if hand_type == "interacting":
        valid[5] = False  # though its coordinates are there
    return world, valid


def _project(world: np.ndarray, camera: dict, name: str) -> np.ndarray:
    rotation, position, focal, center = (
        np.array(camera[key][name]) for key in ("camrot", "campos", "focal", "princpt")
    )
    points = (world - position) @ rotation.T
    return points[:, :2] / points[:, 2:] * focal + center


def _box(px: np.ndarray) -> list[float]:
    """x, y, width, height: 1.2 times the tight box about its centre."""
    low, high = px.min(0), px.max(0)
    size = 1.2 * (high - low)
    return [*((low + high) / 2 - size / 2).tolist(), *size.tolist()]


def _draw(path: Path, px: np.ndarray, valid: np.ndarray) -> None:
    """A JPEG with a disc on each joint, red on right hands, blue on left ones."""
    image = np.zeros((SIZE_PX[1], SIZE_PX[0], 3), np.uint8)
    for joint in np.flatnonzero(valid):
        color = (255, 40, 40) if joint < 21 else (40, 40, 255)
        cv2.circle(image, np.round(px[joint] * 16).astype(int).tolist(), 64, color, -1, cv2.LINE_AA, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])

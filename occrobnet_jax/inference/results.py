"""Predictions as JSON, as pictures, and as one page.

The JSON of a photo (lengths in metres, pixels of the photo after its EXIF rotation, camera axes x right, y down,
z away from the camera; what a network has no head for is null):

    format, version     "occrobnet-jax/prediction", 3: it counts what changed in here, new fields too
    image               the file; width, height
    checkpoint          path and step of the network
    joint_names         order of the 21 joints
    crops               what was looked at, none where no hand was found, each with
        box_px              x0, y0, x1, y1; box_source "given", "found" or "whole photo"
        intrinsics          3 x 3 camera matrix; focal_source "given", "exif" (as the photo says of its lens)
                            or how it was guessed. Camera coordinates hold for these intrinsics: their depth is
                            proportional to the focal length
        hands               right and left, each with
            hand, probability, is_present (probability above 0.5). A crop around one found hand speaks of that one
            finder_probability  with which the finder saw a hand there, before this look at it, and not calibrated; null
                                where the box was not found, or no hand of this side in it
            joints_rel_m        21 x 3, relative to the own wrist
            joints_cam_m        21 x 3, camera frame: joints_rel_m put under the network's own 2D points
            root_fit_error_px   mean 2D distance that this leaves
            is_3d_consistent    whether that is at most a tenth of the hand: if not, don't use its 3D
            joints_px           21 x 2
            confidence          21 probabilities that joints_px is off by at most 0.2 of the longer side of the box
                                around the hand's joints; of a file without a calibration the share of a joint's own
                                map that lies around its place
            visibility          21 probabilities of being seen, not hidden; calibrated likewise, as probability is
            pose                of a network of angles: axis-angle of the wrist (camera axes) and 15 finger joints in
                                MANO's order, radians, fingers from the flat hand
            shape               of a network of angles: 10 shape numbers of the hand model
        left_minus_right_wrist_m    from the head for two hands
        object              null where no keypoint was taken for one, else num_keypoints, reference_hand, rotation
                            (camera from the object's rest pose, 3 x 3) and translation_m (from the reference hand's
                            wrist)
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from markupsafe import Markup

from occrobnet_jax.drawing.figures import placed_joints_m, predicted_figure, predicted_hands, reference_hand
from occrobnet_jax.drawing.overlay import draw_axes, draw_figure, draw_rectangle, encode_jpeg, legend
from occrobnet_jax.drawing.page import data_uri, render_page
from occrobnet_jax.drawing.scene import scene_group, scene_json
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.inference.focal_length import GUESSED_FOCAL_LENGTH
from occrobnet_jax.inference.predictor import Photo, Prediction
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND, NUM_JOINTS

FORMAT, VERSION = "occrobnet-jax/prediction", 3
TEMPLATE = Path(__file__).parent / "page.html"
AXIS_M = 0.05  # length of an object's drawn axes
PAGE_WIDTH_PX = 800
DIGITS = 6
ENCODE = json.JSONEncoder(allow_nan=False).encode
MOST_FIT_ERROR = 0.1  # of the longer side of the box around the 2D joints


def prediction_json(predictions: Sequence[Prediction], photo: Photo, checkpoint: str, step: int) -> str:
    """Return the JSON described above."""
    height, width = photo.pixels.shape[:2]
    content = {
        "format": FORMAT,
        "version": VERSION,
        "image": photo.name,
        "width": width,
        "height": height,
        "checkpoint": {"path": checkpoint, "step": step},
        "joint_names": list(INTERHAND),
        "crops": [_crop(prediction) for prediction in predictions],
    }
    return readable_json(content) + "\n"


def overlay(predictions: Sequence[Prediction], photo: Photo) -> UInt8[np.ndarray, "h w 3"]:
    """Return the photo with the hands, and the axes of objects, drawn over it."""
    canvas = photo.pixels
    for prediction in predictions:
        canvas = _drawn(canvas, prediction)
    return canvas


def _drawn(canvas: UInt8[np.ndarray, "h w 3"], prediction: Prediction) -> UInt8[np.ndarray, "h w 3"]:
    figure = predicted_figure(prediction.joints_px, prediction.hand_probability, prediction.visibility_probability)
    canvas = draw_figure(canvas, figure)
    if prediction.num_object_keypoints and np.isfinite(prediction.object_translation_m).all():
        axes_m = np.concatenate([np.zeros((1, 3)), AXIS_M * prediction.object_rotation.T])
        root = prediction.joints_cam_m[reference_hand(prediction.hand_probability), -1]
        axes_px = project(axes_m + prediction.object_translation_m + root, prediction.intrinsics)
        canvas = draw_axes(canvas, axes_px[0], axes_px[1:])
    return canvas if prediction.box_source == "whole photo" else draw_rectangle(canvas, prediction.box_px)


def page_entry(predictions: Sequence[Prediction], picture: UInt8[np.ndarray, "h w 3"], image: str) -> dict[str, Any]:
    """Return what the page shows of one photo; `picture` is its overlay."""
    width = min(PAGE_WIDTH_PX, picture.shape[1])
    size = (width, max(1, round(picture.shape[0] * width / picture.shape[1])))
    method = cv2.INTER_AREA if picture.shape[1] > 2 * width else cv2.INTER_LINEAR  # which then misses no pixel
    return {
        "image": image,
        "picture": data_uri(encode_jpeg(cv2.resize(picture, size, interpolation=method)), "jpeg"),
        "crops": [_page_crop(prediction) for prediction in predictions],
        "error": "",
    }


def _page_crop(prediction: Prediction) -> dict[str, Any]:
    present = predicted_hands(prediction.hand_probability)
    joints = placed_joints_m(prediction.joints_rel_m, prediction.relative_translation_m, present)
    group = scene_group("prediction", joints, np.repeat(present[:, None], NUM_JOINTS, axis=1))
    return {
        "scene": Markup(scene_json([group])),
        "facts": [fact for hand in range(len(HAND_NAMES)) for fact in _facts(prediction, hand)],
    }


def failed_entry(image: str, error: str) -> dict[str, Any]:
    """Return what the page shows of a photo that could not be predicted."""
    return {"image": image, "error": error}


def page_html(entries: list[dict[str, Any]], checkpoint: str, step: int) -> str:
    """Return the page with all photos."""
    context = {
        "title": f"{len(entries)} photo{'s' if len(entries) != 1 else ''}",
        "subtitle": f"OccRobNet of {checkpoint}, step {step:,}. Drag the 3D views; ctrl + wheel zooms.",
        "entries": entries,
        "legend": legend(),
    }
    return render_page(TEMPLATE, context)


def _crop(prediction: Prediction) -> dict[str, Any]:
    guess = f"guess: {GUESSED_FOCAL_LENGTH} x the photo's long side"
    return {
        "box_px": _plain(prediction.box_px),
        "box_source": prediction.box_source,
        "intrinsics": _plain(prediction.intrinsics),
        "focal_source": guess if prediction.focal_source == "guess" else prediction.focal_source,
        "hands": [hand_json(prediction, hand) for hand in range(len(HAND_NAMES))],
        "left_minus_right_wrist_m": _plain(prediction.relative_translation_m),
        "object": _object(prediction),
    }


def hand_json(prediction: Prediction, hand: int) -> dict[str, Any]:
    """Return what the JSON says of one hand."""
    probability = float(prediction.hand_probability[hand])
    visibility = prediction.visibility_probability[hand]
    return {
        "hand": HAND_NAMES[hand],
        "probability": round(probability, DIGITS),
        "is_present": probability > 0.5,
        "finder_probability": _finder_probability(prediction, hand),
        "joints_rel_m": _plain(prediction.joints_rel_m[hand]),
        "joints_cam_m": _plain(prediction.joints_cam_m[hand]),
        "root_fit_error_px": round(float(prediction.root_fit_error_px[hand]), DIGITS),
        "is_3d_consistent": is_3d_consistent(prediction, hand),
        "joints_px": _plain(prediction.joints_px[hand]),
        "confidence": None if prediction.joint_confidence is None else _plain(prediction.joint_confidence[hand]),
        "visibility": None if np.isnan(visibility).any() else _plain(visibility),
        "pose": None if prediction.hand_pose is None else _plain(prediction.hand_pose[hand]),
        "shape": None if prediction.hand_shape is None else _plain(prediction.hand_shape),
    }


def _finder_probability(prediction: Prediction, hand: int) -> float | None:
    found = prediction.finder_probability
    return None if found is None or np.isnan(found[hand]) else round(float(found[hand]), DIGITS)


def _object(prediction: Prediction) -> dict[str, Any] | None:
    if not prediction.num_object_keypoints or np.isnan(prediction.object_translation_m).any():
        return None
    return {
        "num_keypoints": prediction.num_object_keypoints,
        "reference_hand": HAND_NAMES[reference_hand(prediction.hand_probability)],
        "rotation": _plain(prediction.object_rotation),
        "translation_m": _plain(prediction.object_translation_m),
    }


def _facts(prediction: Prediction, hand: int) -> list[tuple[str, str]]:
    name, depth_m = HAND_NAMES[hand], prediction.joints_cam_m[hand, -1, 2]
    found = _finder_probability(prediction, hand)
    told = "" if found is None else f" (found at {found:.2f})"
    facts = [(f"{name} hand", f"{prediction.hand_probability[hand]:.2f}{told}")]
    if predicted_hands(prediction.hand_probability)[hand]:
        guess = " (focal length guessed)" if prediction.focal_source == "guess" else ""
        facts.append((f"{name} wrist's distance", f"{depth_m:.2f} m{guess}"))
        doubt = "" if is_3d_consistent(prediction, hand) else ": its 3D contradicts its own 2D joints, don't use it"
        facts.append((f"{name} fit", f"{prediction.root_fit_error_px[hand]:.1f} px{doubt}"))
    return facts


def is_3d_consistent(prediction: Prediction, hand: int) -> bool:
    """Tell whether the 3D hand, put where it fits best, meets the 2D joints of the same network [ours].

    A network whose 3D was hardly taught says metres all the same; this is what shows it without labels.
    """
    joints_px = prediction.joints_px[hand]
    side_px = (joints_px.max(0) - joints_px.min(0)).max()
    return bool(prediction.root_fit_error_px[hand] <= MOST_FIT_ERROR * side_px)


def readable_json(content: Any, indent: str = "") -> str:
    """Return JSON with a line for each field and element, and each array of numbers on one line.

    The json module indents in Python alone, number by number, which takes five times as long.

    Raises:
        ValueError: a number isn't finite.
    """
    if isinstance(content, dict):
        lines = [f"{ENCODE(name)}: {readable_json(value, indent + ' ')}" for name, value in content.items()]
        return _block("{", lines, "}", indent)
    if isinstance(content, list | tuple) and content and isinstance(content[0], list | tuple | dict | str):
        return _block("[", [readable_json(element, indent + " ") for element in content], "]", indent)
    return ENCODE(content)


def _block(opening: str, lines: list[str], closing: str, indent: str) -> str:
    inside = f"\n{indent} "
    return f"{opening}{inside}{f',{inside}'.join(lines)}\n{indent}{closing}" if lines else opening + closing


def _plain(values: Float[np.ndarray, "..."]) -> list[Any]:
    """Return nested lists of rounded numbers."""
    return np.round(values.astype(np.float64), DIGITS).tolist()

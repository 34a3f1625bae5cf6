"""Pictures and 3D scenes of single examples: the crop with its keypoints, the truth, the prediction."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.config import DataConfig
from input_pipeline.pipeline import crop_example, open_split
from occrobnet_jax.drawing.figures import placed_joints_m, predicted_figure, predicted_hands, reference_hand
from occrobnet_jax.drawing.overlay import Figure, draw_figure, draw_keypoints, side_by_side
from occrobnet_jax.drawing.scene import scene_group
from occrobnet_jax.evaluation.formats.records import Records, num_rows, select
from occrobnet_jax.evaluation.metrics.groups import HIDDEN
from occrobnet_jax.evaluation.metrics.metrics import example_errors_mm
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import NUM_JOINTS

PANEL_PX = 384


def typical_and_worst(errors_mm: Float[np.ndarray, " n"], count: int) -> tuple[list[int], list[int]]:
    """Return the rows of the `count` examples around the median MPJPE, and of the `count` worst, worst first.

    No row is in both; of fewer than twice `count` examples each gets half.
    """
    order = [int(row) for row in np.argsort(errors_mm, kind="stable") if np.isfinite(errors_mm[row])]
    count = min(count, (len(order) + 1) // 2)
    middle = min((len(order) - count) // 2, len(order) - 2 * count)
    return order[max(0, middle) : len(order) - count][:count], order[::-1][:count]


def crops(records: Records, rows: list[int], data: DataConfig, split: str) -> list[UInt8[np.ndarray, "s s 3"]]:
    """Return the crops of some rows of the records, read again from the split that they were made of."""
    examples = open_split(data, split)
    # The smallest possible segmentation: it isn't drawn.
    return [
        crop_example(examples[int(records["example_index"][row])], data, data.input_size_px)["image"] for row in rows
    ]


def panels(crop: UInt8[np.ndarray, "s s 3"], records: Records, row: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draw crop with detected keypoints | truth | prediction."""
    factor = max(1, round(PANEL_PX / crop.shape[0]))
    valid = records["predicted_keypoint_valid"][row]
    keypoints = records["predicted_keypoints_px"][row][valid]
    return side_by_side(
        [
            draw_keypoints(crop, keypoints, records["predicted_keypoint_class"][row][valid], factor),
            draw_figure(crop, _true_figure(records, row), factor),
            draw_figure(crop, _predicted_figure(records, row), factor),
        ]
    )


def overlays(records: Records, data: DataConfig, split: str) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return the panels of all examples of some records, for training logs."""
    rows = list(range(num_rows(records)))
    return [panels(crop, records, row) for crop, row in zip(crops(records, rows, data, split), rows, strict=True)]


def scene(records: Records, row: int) -> list[dict[str, Any]]:
    """Return groups for `viewer.js`: prediction and truth in camera axes, each from its own reference wrist."""
    annotated = records["joint_annotated"][row]
    true_root = records["root_cam_m"][row][reference_hand(records["hand_present"][row])]
    corners = _true_corners_m(records, row)
    present = predicted_hands(records["predicted_hand_probability"][row])
    joints = placed_joints_m(
        records["predicted_joints_rel_m"][row], records["predicted_relative_translation_m"][row], present
    )
    own_corners = _predicted_corners_m(records, row)
    return [
        scene_group("prediction", joints, np.repeat(present[:, None], NUM_JOINTS, axis=1), own_corners),
        scene_group(
            "truth",
            records["joints_cam_m"][row] - true_root,
            annotated,
            None if corners is None else corners - true_root,
            dashed=True,
        ),
    ]


def caption(records: Records, row: int) -> str:
    """Return key of the example, its error, and which hands the network takes to be there."""
    right, left = records["predicted_hand_probability"][row]
    return (
        f"{records['key'][row].decode(errors='replace')}: MPJPE {example_errors_mm(select(records, [row]))[0]:.1f} mm, "
        f"right hand {right:.2f}, left hand {left:.2f}"
    )


def _true_figure(records: Records, row: int) -> Figure:
    corners = _true_corners_m(records, row)
    return Figure(
        records["joints_px"][row],
        records["joint_annotated"][row] | records["joint_in_crop"][row],  # the latter may be known in 2D only
        np.isin(records["visibility"][row], HIDDEN),
        None if corners is None else project(corners, records["intrinsics"][row]),
    )


def _predicted_figure(records: Records, row: int) -> Figure:
    corners = _predicted_corners_m(records, row)
    if corners is not None:
        reference = reference_hand(records["predicted_hand_probability"][row])
        corners = corners + records["predicted_root_cam_m"][row][reference]
    return predicted_figure(
        records["predicted_joints_px"][row],
        records["predicted_hand_probability"][row],
        records["predicted_visibility_probability"][row],
        None if corners is None else project(corners, records["intrinsics"][row]),
    )


def _true_corners_m(records: Records, row: int) -> Float[np.ndarray, "8 3"] | None:
    """Return the corners of the object's box in the camera frame; None where the object isn't known."""
    if not records["object_known"][row]:
        return None
    turned = records["object_corners_rest_m"][row] @ records["object_rotation"][row].T
    return turned + records["object_translation_m"][row]


def _predicted_corners_m(records: Records, row: int) -> Float[np.ndarray, "8 3"] | None:
    """Return the corners, from the reference wrist, of the known object in its predicted pose; None without one."""
    translation = records["predicted_object_translation_m"][row]
    if not records["object_known"][row] or np.isnan(translation).any():
        return None
    return records["object_corners_rest_m"][row] @ records["predicted_object_rotation"][row].T + translation

"""Exact labels of a scene."""

import numpy as np

from input_pipeline.schema import Example, empty_example
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.stage import NORMAL, Stage
from input_pipeline.synthetic.visibility import Skin, inside_image, joint_visibility
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.skeleton import NUM_HANDS, VISIBILITY


def scene_labels(scene: Scene, stage: Stage, size: int) -> Example:
    """Return an example with everything but the pixels, for a square picture of a size.

    Boxes may reach beyond the picture; a scene without hands and object has none.
    """
    labels = empty_example()
    intrinsics = scene.intrinsics.astype(np.float32)
    boxes = np.zeros((NUM_HANDS, 4), np.float32)
    for hand, span in zip(scene.hands, stage.hand_verts, strict=True):
        side = hand.side
        joints = hand.joints_m.astype(np.float32)
        faces, normals = load_hand().models[side].faces, stage.attributes[span, NORMAL]
        skin = Skin(stage.verts_m[span], faces, normals, load_hand().joint_verts)
        inside = inside_image(joints, intrinsics, (size, size))
        classes, share = joint_visibility(stage.caster, stage.owner, side, skin, inside, intrinsics, (size, size))
        labels["joints_cam_m"][side] = joints
        labels["joints_annotated"][side] = 1
        labels["visibility"][side], labels["visible_share"][side] = classes, share
        labels["joints_in_image"][side] = classes != VISIBILITY.index("outside")
        labels["hand_present"][side] = labels["root_known"][side] = labels["hand_pose_known"][side] = 1
        labels["root_cam_m"][side] = joints[-1]
        pose, shape, translation_m = hand.parameters()
        labels["hand_pose"][side], labels["hand_shape"][side] = pose, shape
        labels["hand_translation_m"][side] = translation_m
        boxes[side] = _box_px(stage.verts_m[span][load_hand().hand_verts], intrinsics)
    labels["hand_box_px"] = boxes
    shown = [boxes[hand.side] for hand in scene.hands]
    if scene.solid is not None:
        shown.append(_box_px(scene.object_verts_m(), intrinsics))
        labels["object_rotation"] = scene.object_rotation.astype(np.float32)
        labels["object_translation_m"] = scene.object_translation_m.astype(np.float32)
        labels["object_corners_rest_m"] = scene.solid.corners_m()
        labels["object_symmetry"] = np.int32(scene.solid.symmetry)
        labels["object_known"] = np.uint8(1)
    if shown:
        low, high = np.min([box[:2] for box in shown], 0), np.max([box[2:] for box in shown], 0)
        labels["box_px"] = np.concatenate([low, high]).astype(np.float32)
        labels["box_known"] = np.uint8(1)
    return labels | {
        "height": np.int32(size),
        "width": np.int32(size),
        "intrinsics": intrinsics,
        "hand_present_known": np.uint8(1),
        "labels_complete": np.uint8(1),
    }


def _box_px(points_cam_m: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    pixels = points_cam_m @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return np.concatenate([pixels.min(0), pixels.max(0)]).astype(np.float32)

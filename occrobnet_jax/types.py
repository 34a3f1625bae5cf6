"""The two pytrees that flow through the project: Batch (what the network is shown and taught) and Predictions.

Letters in shapes: b batch, h w network input, hh ww heatmap, n hands (2: right, left), j joints (21, InterHand2.6M
order), k posed joints (16), t keypoint tokens, l transformer layers, c classes. Camera frames are OpenCV's (x right,
y down, z forward).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8


@struct.dataclass
class Batch:
    """One batch of cropped examples; the fields that `input_pipeline` yields, under the same names.

    On the host they are NumPy arrays; programs of the devices get them as JAX's. Everything is in the frame of the
    augmented crop: `intrinsics` project `joints_cam_m` to `joints_px`.
    """

    image: UInt8[Array, "b h w 3"]  # RGB
    intrinsics: Float[Array, "b 3 3"]  # px of the crop; the upper left 2 x 2 may be a full matrix
    joints_px: Float[Array, "b n j 2"]  # px of the crop, pixel centres at integers
    joints_cam_m: Float[Array, "b n j 3"]
    joint_annotated: Bool[Array, "b n j"]  # its 3D position is known
    joint_px_annotated: Bool[Array, "b n j"]  # its place in the crop is known, be it from 3D or from 2D labels
    joint_in_crop: Bool[Array, "b n j"]  # that place is inside the photo and the crop
    visibility: Int[Array, "b n j"]  # skeleton.VISIBILITY
    hand_present: Bool[Array, "b n"]
    hand_present_known: Bool[Array, " b"]
    root_cam_m: Float[Array, "b n 3"]  # wrist
    root_known: Bool[Array, "b n"]
    hand_pose: Float[Array, "b n 48"]  # of MANO or the embedded hand: axis-angle, flat mean, skeleton.POSED_JOINTS
    hand_shape: Float[Array, "b n 10"]
    hand_pose_known: Bool[Array, "b n"]
    segmentation: UInt8[Array, "b hh ww"]  # 0 background, 1 right hand, 2 left hand, 3 object
    segmentation_known: Bool[Array, " b"]
    object_id: Int[Array, " b"]  # 0 none
    object_rotation: Float[Array, "b 3 3"]  # camera from rest pose
    object_translation_m: Float[Array, "b 3"]
    object_corners_rest_m: Float[Array, "b 8 3"]
    object_symmetry: Int[Array, " b"]  # geometry.symmetry.OBJECT_SYMMETRY
    object_known: Bool[Array, " b"]
    crop_from_image: Float[Array, "b 2 3"]  # affine, px of the photo to px of the crop
    example_index: Int[Array, " b"]  # row of the split
    is_real: Bool[Array, " b"]  # False for what fills up the last evaluation batch

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Batch":
        """Return the batch of what `input_pipeline` yields; keys and other facts, which networks don't see, stay."""
        return cls(**{field.name: fields[field.name] for field in dataclasses.fields(cls)})


@struct.dataclass
class Keypoints:
    """Where tokens are taken. Slots that hold no keypoint are at (0, 0) with `valid` False."""

    xy_hm: Float[Array, "b t 2"]  # heatmap px
    valid: Bool[Array, "b t"]
    is_object: Bool[Array, "b t"]


@struct.dataclass
class HandCells:
    """What each cell of the finder's coarse map says, for the right and the left hand."""

    logits: Float[Array, "b h8 w8 n"]  # of lying in the middle of a hand
    center_px: Float[Array, "b h8 w8 n 2"]  # of the square around its joints, px of the network's input
    log_side: Float[Array, "b h8 w8 n"]  # natural logarithm of that square's side in px


@struct.dataclass
class Predictions:
    """Raw outputs of the network, of every layer that is supervised; `models.decode` turns them into a Pose."""

    heatmap: Float[Array, "b hh ww"]  # all joints in one map, 0 to 255 by training
    object_map: Float[Array, "b hh ww"] | None  # 0 to 255 by training; None without object
    hand_maps: Float[Array, "b hh ww n"] | None  # right and left hand, 0 to 255 by training
    keypoints: Keypoints
    class_logits: Float[Array, "l b t c"]  # 0 none, 1..21 right, 22..42 left, 43 object; or, with token_hand_logits,
    # 0 none, 1..21 joints of any hand, 22 object
    bone_vectors_m: Float[Array, "l b n bone 3"] | None  # parent to child, skeleton.BONES; of "vectors", and in
    # "angles" those of the hand that the rotations pose
    axis_heatmaps: Float[Array, "l b n j 3 bin"] | None  # representation "2.5d"; x, y, depth relative to the parent
    joints_crop: Float[Array, "l b n j 2"] | None  # 2D head; 0 to 1 across the crop
    weak_camera: Float[Array, "l b 3"] | None  # scale (heatmap px per m), tx, ty (heatmap px)
    relative_translation_m: Float[Array, "l b 3"]  # left wrist minus right wrist
    object_rotation_6d: Float[Array, "l b 6"] | None
    object_translation_m: Float[Array, "l b n 3"] | None  # relative to the right (and left) wrist
    visibility_logits: Float[Array, "l b n j"] | None
    hand_logits: Float[Array, "b n"]
    saturated_gates: Float[Array, ""]  # share of CIET's gates beyond |logit| 6
    token_hand_logits: Float[Array, "l b t n"] | None = None  # whether a token is a joint of each hand
    hand_rotations: Float[Array, "l b n k r"] | None = None  # representation "angles"; see models.hand
    hand_shape: Float[Array, "l b 10"] | None = None  # representation "angles"; of both hands
    joint_maps: Float[Array, "b hh ww nj"] | None = None  # logits over the pixels, of each joint of each hand
    hand_cells: HandCells | None = None  # of the finder


@struct.dataclass
class Pose:
    """What the network says about each example, in physical units: what is evaluated, drawn and saved."""

    joints_rel_m: Float[Array, "b n j 3"]  # relative to the own wrist, camera axes
    joints_px: Float[Array, "b n j 2"]  # px of the crop
    joints_cam_m: Float[Array, "b n j 3"]  # joints_rel_m + root_cam_m
    root_cam_m: Float[Array, "b n 3"]  # each hand's own wrist, see root_fit_error_px
    root_fit_error_px: Float[Array, "b n"]  # mean 2D distance left by the fit of the absolute root
    relative_translation_m: Float[Array, "b 3"]  # left wrist minus right wrist, from its own head
    hand_probability: Float[Array, "b n"]
    visibility_probability: Float[Array, "b n j"]  # NaN without the visibility head
    keypoints_px: Float[Array, "b t 2"]  # px of the crop
    keypoint_valid: Bool[Array, "b t"]
    keypoint_class: Int[Array, "b t"]  # the most probable class
    object_rotation: Float[Array, "b 3 3"]  # NaN without object heads
    object_translation_m: Float[Array, "b 3"]  # relative to the right wrist, or the left where no right hand is
    hand_pose: Float[Array, "b n 48"] | None = None  # representation "angles"; as in Batch
    hand_shape: Float[Array, "b 10"] | None = None  # representation "angles"; of both hands
    joint_confidence: Float[Array, "b n j"] | None = None  # share of a joint's own map that lies around its place

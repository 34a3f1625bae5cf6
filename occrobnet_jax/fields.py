"""Every quantity that belongs to an example, once: what it is called, its shape, type and unit, and how far it travels.

A dataset stores `DATASET`, one of matched arms `MATCHED` too. The input pipeline makes `BATCH` of it, the fields of
`types.Batch`. A network's answer is `POSE`, those of `types.Pose`. An evaluation keeps labels that are `recorded`,
predictions under `predicted_NAME`, and `FACTS`. A new quantity has a row here; the schema, the masks, what a mirror
swaps, the records and predictions.npz follow from the rows, and tests compare `Batch` and `Pose` with them.
"""

import dataclasses

import numpy as np

HANDS, JOINTS = 2, 21


@dataclasses.dataclass(frozen=True)
class Field:
    """A quantity of one example."""

    name: str  # with its unit and frame
    shape: tuple[int | None, ...]  # of one example; None where the config decides
    dtype: type = np.float32
    of_hands: bool = False  # its first axis is the hand, so that a mirror swaps it
    is_mask: bool = False  # it says whether a label counts
    recorded: bool = False  # a metric reads it


def _row(name: str, *shape: int | None, dtype: type = np.float32, flags: str = "") -> Field:
    """Return a row; flags are letters: h of hands, m mask, r recorded."""
    return Field(name, shape, dtype, "h" in flags, "m" in flags, "r" in flags)


DATASET = (
    _row("height", dtype=np.int32),
    _row("width", dtype=np.int32),
    _row("annotation_id", dtype=np.int64),  # InterHand2.6M's id, -1 if none
    _row("evaluation_row", dtype=np.int32),  # row in evaluation.txt, -1 if none
    _row("intrinsics", 3, 3),  # px
    _row("joints_cam_m", HANDS, JOINTS, 3),  # zeros where not annotated
    _row("joints_annotated", HANDS, JOINTS, dtype=np.uint8),  # the raw 3D mask
    _row("joints_px", HANDS, JOINTS, 2),  # of the photo, where joints_px_only; others are projected
    _row("joints_px_only", HANDS, JOINTS, dtype=np.uint8),  # known in the photo, but not in 3D
    _row("joints_in_image", HANDS, JOINTS, dtype=np.uint8),  # inside the photo; not visibility
    _row("visibility", HANDS, JOINTS, dtype=np.uint8),  # skeleton.VISIBILITY
    _row("visible_share", HANDS, JOINTS),  # of the skin around the joint, 0 to 1
    _row("hand_present", HANDS, dtype=np.uint8),
    _row("hand_present_known", dtype=np.uint8),
    _row("root_cam_m", HANDS, 3),  # wrist
    _row("root_known", HANDS, dtype=np.uint8),
    _row("labels_complete", dtype=np.uint8),  # 0 for evaluation splits that give the wrists only
    _row("box_px", 4),  # x0 y0 x1 y1 around the hands (and the object), not expanded
    _row("hand_box_px", HANDS, 4),
    _row("box_known", dtype=np.uint8),
    _row("rootnet_box_px", 4),
    _row("rootnet_depth_m", HANDS),
    _row("rootnet_known", dtype=np.uint8),
    _row("hand_pose", HANDS, 48),  # axis-angle, flat mean, camera frame
    _row("hand_shape", HANDS, 10),
    _row("hand_translation_m", HANDS, 3),
    _row("hand_pose_known", HANDS, dtype=np.uint8),
    _row("object_id", dtype=np.int32),  # YCB number, or the synthetic family and instance; 0 none
    _row("object_rotation", 3, 3),  # camera from rest pose
    _row("object_translation_m", 3),
    _row("object_corners_rest_m", 8, 3),
    _row("object_symmetry", dtype=np.int32),  # geometry.symmetry.OBJECT_SYMMETRY
    _row("object_known", dtype=np.uint8),
)
"""What a dataset stores of an example besides its image, segmentation and texts, in the photo's frame."""

MATCHED = (
    _row("arm", dtype=np.int32),  # skeleton.ARMS; the others are zeros where it is 0
    _row("hidden_share", HANDS),  # of a hand's pixels, those that the occluder hides in this picture
    _row("scene_hidden_share", HANDS),  # the same where the occluder is before the hands: equal in all arms
    _row("scene_hidden_joints", HANDS, JOINTS, dtype=np.uint8),  # which joints it hides there
)
"""What a dataset of matched arms stores besides; records of other datasets lack it."""

BATCH = (
    _row("image", None, None, 3, dtype=np.uint8),
    _row("intrinsics", 3, 3, flags="r"),
    _row("joints_px", HANDS, JOINTS, 2, flags="hr"),
    _row("joints_cam_m", HANDS, JOINTS, 3, flags="hr"),
    _row("joint_annotated", HANDS, JOINTS, dtype=np.bool_, flags="hmr"),
    _row("joint_px_annotated", HANDS, JOINTS, dtype=np.bool_, flags="hm"),
    _row("joint_in_crop", HANDS, JOINTS, dtype=np.bool_, flags="hmr"),
    _row("visibility", HANDS, JOINTS, dtype=np.int32, flags="hr"),
    _row("hand_present", HANDS, dtype=np.bool_, flags="hr"),
    _row("hand_present_known", dtype=np.bool_, flags="mr"),
    _row("root_cam_m", HANDS, 3, flags="hr"),
    _row("root_known", HANDS, dtype=np.bool_, flags="hmr"),
    _row("hand_pose", HANDS, 48, flags="h"),
    _row("hand_shape", HANDS, 10, flags="h"),
    _row("hand_pose_known", HANDS, dtype=np.bool_, flags="hm"),
    _row("segmentation", None, None, dtype=np.uint8),
    _row("segmentation_known", dtype=np.bool_, flags="m"),
    _row("object_id", dtype=np.int32, flags="r"),
    _row("object_rotation", 3, 3, flags="r"),
    _row("object_translation_m", 3, flags="r"),
    _row("object_corners_rest_m", 8, 3, flags="r"),
    _row("object_symmetry", dtype=np.int32, flags="r"),
    _row("object_known", dtype=np.bool_, flags="mr"),
    _row("crop_from_image", 2, 3, flags="r"),
    _row("example_index", dtype=np.int32, flags="r"),
    _row("is_real", dtype=np.bool_),
)
"""What the network is shown and taught, in the frame of the augmented crop."""

POSE = (
    _row("joints_rel_m", HANDS, JOINTS, 3),
    _row("joints_px", HANDS, JOINTS, 2),
    _row("joints_cam_m", HANDS, JOINTS, 3),
    _row("root_cam_m", HANDS, 3),
    _row("root_fit_error_px", HANDS),
    _row("relative_translation_m", 3),
    _row("hand_probability", HANDS),
    _row("visibility_probability", HANDS, JOINTS),
    _row("keypoints_px", None, 2),
    _row("keypoint_valid", None, dtype=np.bool_),
    _row("keypoint_class", None, dtype=np.int32),
    _row("object_rotation", 3, 3),
    _row("object_translation_m", 3),
)
"""What every network says."""

OPTIONAL = (_row("hand_pose", HANDS, 48), _row("hand_shape", 10), _row("joint_confidence", HANDS, JOINTS))
"""What some networks say besides: those of angles, and those with a map of each joint."""

FACTS = (
    _row("key", dtype=np.bytes_),  # unique
    _row("sequence", dtype=np.bytes_),  # what confidence intervals are drawn over
    _row("annotation_id", dtype=np.int64),  # InterHand2.6M's, -1 if none
    _row("evaluation_row", dtype=np.int32),  # of evaluation.txt, -1 if none
    _row("is_black", dtype=np.bool_),  # the crop shows nothing
    _row("joint_in_image", HANDS, JOINTS, dtype=np.bool_),  # of InterHand2.6M, the raw mask of its data.json
    _row("hand_fit_known", HANDS, dtype=np.bool_),  # there is a MANO fit of this hand
    _row("rootnet_depth_m", HANDS),
    _row("rootnet_known", dtype=np.bool_),
    _row("object_share"),  # of the crop's area that shows the object, -1 if unknown
    *MATCHED,
)
"""What benchmarks ask about an example that neither network nor loss needs."""

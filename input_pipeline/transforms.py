"""From one schema example to one row of a `types.Batch`: decode, crop, augment, targets. NumPy only."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from input_pipeline.augment import NONE, Augmentation, scale_colour
from input_pipeline.config import DataConfig
from input_pipeline.crop import CropGeometry, crop_geometry, crop_image, crop_segmentation, reduction_for
from input_pipeline.readers import BLACK_BELOW, decode_image, decode_segmentation, is_jpeg
from input_pipeline.schema import KEY_BYTES, Example
from occrobnet_jax.geometry.cameras import change_camera, project, transform_points, transform_vectors
from occrobnet_jax.geometry.hand_model import mirrored_pose
from occrobnet_jax.skeleton import VISIBILITY

Fields = dict[str, np.ndarray]
"""The fields of `types.Batch` and "key" (fixed-width bytes), of one example or stacked along a batch axis."""

HAND_FIELDS = (
    *("joints_px", "joints_cam_m", "joint_annotated", "joint_px_annotated", "joint_in_crop"),
    *("visibility", "visible_share"),
    *("hand_present", "root_cam_m", "root_known", "hand_pose", "hand_shape", "hand_pose_known"),
)
"""Fields whose first axis is the hand."""

LABEL_MASKS = (
    *("joint_annotated", "joint_px_annotated", "joint_in_crop", "hand_present_known", "root_known"),
    *("segmentation_known", "object_known", "hand_pose_known"),
)
"""Fields that say whether a label counts."""

OUTSIDE = VISIBILITY.index("outside")
OBJECT_LABEL = 3  # of the segmentation
SWAPPED_LABELS = np.array([0, 2, 1, 3], np.uint8)  # of the segmentation: right and left hand


def crop_example(example: Example, data: DataConfig, heatmap_stride: int) -> Fields:
    """The crop of a schema example as evaluation and prediction see it: no augmentation.

    `example_index` is -1 and `is_real` True; whoever forms batches knows better.

    Raises:
        ValueError: the image is broken or contradicts its record, or there is no usable box; names the example.
    """
    return _transform(example, data, heatmap_stride, NONE, mask_black=data.black_frames == "mask")


def augment_example(example: Example, data: DataConfig, heatmap_stride: int, augmentation: Augmentation) -> Fields:
    """The crop of a schema example as training sees it; see `crop_example`."""
    return _transform(example, data, heatmap_stride, augmentation, mask_black=data.black_frames != "keep")


def benchmark_facts(example: Example, fields: Fields) -> Fields:
    """What benchmarks ask about an example besides the labels, see `evaluation.records.FACTS`.

    Args:
        example: as stored.
        fields: its crop, without augmentation.
    """
    is_object = fields["segmentation"] == OBJECT_LABEL
    return {
        "sequence": np.array(example["sequence"].encode()[:KEY_BYTES], f"S{KEY_BYTES}"),
        "annotation_id": np.asarray(example["annotation_id"], np.int64),
        "evaluation_row": np.asarray(example["evaluation_row"], np.int32),
        "is_black": np.asarray(fields["image"].max() < BLACK_BELOW),
        "joint_in_image": example["joints_in_image"] > 0,
        "hand_fit_known": example["hand_pose_known"] > 0,
        "rootnet_depth_m": example["rootnet_depth_m"],
        "rootnet_known": np.asarray(example["rootnet_known"] > 0),
        "object_share": np.float32(is_object.mean() if fields["segmentation_known"] else -1),
    }


def mask_labels(fields: Fields) -> Fields:
    """The same fields with no label that counts."""
    return fields | {name: np.zeros_like(fields[name]) for name in LABEL_MASKS}


def _transform(
    example: Example, data: DataConfig, heatmap_stride: int, augmentation: Augmentation, *, mask_black: bool
) -> Fields:
    name = f"example {example['key']!r}"
    try:
        centre_px = data.input_size_px / 2 if data.crop_centre == "half_size" else None
        box, scale = _box(example, data)
        geometry = crop_geometry(box, data.input_size_px, scale, augmentation, centre_px)
    except ValueError as error:
        raise ValueError(f"{name} can't be cropped: {error}") from error
    pixels = _pixels(example, geometry, averaging=data.crop_averaging)
    fields = {"image": scale_colour(pixels, augmentation.colour)}
    fields |= _joints(example, geometry) | _hands(example, geometry) | _object(example, geometry)
    fields |= _hand_poses(example, geometry)
    fields |= _segmentation(example, geometry, heatmap_stride, name) | _provenance(example, geometry)
    if augmentation.flip:
        fields = swap_hands(fields)
    return mask_labels(fields) if mask_black and pixels.max() < BLACK_BELOW else fields


def _pixels(example: Example, geometry: CropGeometry, *, averaging: bool) -> np.ndarray:
    """The crop's pixels, of a photo that is decoded no larger than they need."""
    name = f"the image of example {example['key']!r}"
    reduction = reduction_for(geometry) if averaging and is_jpeg(example["image"]) else 1
    photo = decode_image(example["image"], name=name, reduction=reduction)
    if photo.shape[:2] != (-(-example["height"] // reduction), -(-example["width"] // reduction)):
        found = decode_image(example["image"], name=name)
        raise ValueError(
            f"{name} is {found.shape[1]} x {found.shape[0]} px where its record says "
            f"{example['width']} x {example['height']}; prepare the dataset again"
        )
    return crop_image(photo, geometry, averaging=averaging, reduction=reduction)


def swap_hands(fields: Fields) -> Fields:
    """Right becomes left and left right, in every label; coordinates stay."""
    swapped = {name: fields[name][::-1].copy() for name in HAND_FIELDS}
    return fields | swapped | {"segmentation": SWAPPED_LABELS[fields["segmentation"]]}


def label_box(example: Example) -> Float[np.ndarray, "4"]:
    """Tight box (x0, y0, x1, y1) around the annotated joints and the corners of a known object.

    Raises:
        ValueError: nothing is annotated.
    """
    points = example["joints_cam_m"][example["joints_annotated"] > 0]
    if example["object_known"]:
        corners = transform_vectors(example["object_rotation"], example["object_corners_rest_m"])
        points = np.concatenate([points, corners + example["object_translation_m"]])
    points_px = project(points.astype(np.float64), example["intrinsics"].astype(np.float64))
    points_px = np.concatenate([points_px, example["joints_px"][example["joints_px_only"] > 0]])
    if len(points_px) == 0:
        raise ValueError("nothing is annotated that a box could be put around")
    return np.concatenate([points_px.min(0), points_px.max(0)])


def _box(example: Example, data: DataConfig) -> tuple[Float[np.ndarray, "4"], float]:
    """The box, and how much larger than it the crop is."""
    if data.box_source == "joints":
        return label_box(example), data.box_scale
    if data.box_source == "rootnet":
        if not example["rootnet_known"]:
            raise ValueError("its dataset was prepared without RootNet's output; set data.box_source=stored")
        return example["rootnet_box_px"], 1.0  # it has been made square and enlarged by 1.25 before it was stored
    if not example["box_known"]:
        raise ValueError("its dataset gives no box; set data.box_source=joints")
    return example["box_px"], data.box_scale


def _joints(example: Example, geometry: CropGeometry) -> Fields:
    """Joints in 3D and 2D, each moved on its own, so that the new intrinsics can be checked against both.

    Where a joint is known in 3D its place in the photo is the projection; one that is known in the photo only keeps
    that place, has no 3D one, and teaches 2D alone: a depth put in its stead would be a label that nobody gave.
    """
    joints_cam_m = example["joints_cam_m"].astype(np.float64)
    intrinsics = example["intrinsics"].astype(np.float64)
    annotated = example["joints_annotated"] > 0
    px_annotated = annotated | (example["joints_px_only"] > 0)
    photo_px = np.where(annotated[..., None], project(joints_cam_m, intrinsics), example["joints_px"])
    joints_px = transform_points(geometry.crop_from_image, photo_px)
    inside = ((joints_px >= -0.5) & (joints_px < geometry.size_px - 0.5)).all(-1)
    in_crop = px_annotated & (example["joints_in_image"] > 0) & inside
    is_outside = px_annotated & ~in_crop
    return {
        "intrinsics": change_camera(intrinsics, geometry.crop_from_image, geometry.turn).astype(np.float32),
        "joints_px": np.where(px_annotated[..., None], joints_px, 0).astype(np.float32),
        "joints_cam_m": np.where(annotated[..., None], _turned(joints_cam_m, geometry), 0).astype(np.float32),
        "joint_annotated": annotated,
        "joint_px_annotated": px_annotated,
        "joint_in_crop": in_crop,
        "visibility": np.where(is_outside, OUTSIDE, example["visibility"]).astype(np.int32),
        "visible_share": np.where(is_outside, 0, example["visible_share"]).astype(np.float32),
    }


def _hands(example: Example, geometry: CropGeometry) -> Fields:
    known = example["root_known"] > 0
    return {
        "hand_present": example["hand_present"] > 0,
        "hand_present_known": np.asarray(example["hand_present_known"] > 0),
        "root_cam_m": np.where(known[:, None], _turned(example["root_cam_m"], geometry), 0).astype(np.float32),
        "root_known": known,
    }


def _hand_poses(example: Example, geometry: CropGeometry) -> Fields:
    """Pose and shape of the hand model. The picture's rotation turns the whole hand; in a mirror every joint turns the
    other way, and the hand is that of the mirrored model.
    """
    known = example["hand_pose_known"] > 0
    pose = example["hand_pose"].astype(np.float64)
    if geometry.is_mirrored:
        pose = mirrored_pose(pose)
    mirror = np.diag([-1.0, 1.0]) if geometry.is_mirrored else np.eye(2)
    turn = np.eye(3)
    turn[:2, :2] = geometry.turn @ mirror  # of what the mirror shows
    whole = np.stack([cv2.Rodrigues(turn @ cv2.Rodrigues(wrist)[0])[0][:, 0] for wrist in pose[:, :3]])
    return {
        "hand_pose": np.where(known[:, None], np.concatenate([whole, pose[:, 3:]], -1), 0).astype(np.float32),
        "hand_shape": np.where(known[:, None], example["hand_shape"], 0).astype(np.float32),
        "hand_pose_known": known,
    }


def _object(example: Example, geometry: CropGeometry) -> Fields:
    """The object's pose; the mirror image of an object is no pose of that object, so a flip leaves it unknown."""
    known = bool(example["object_known"]) and not geometry.is_mirrored
    rotation, translation_m = np.eye(3), np.zeros(3)
    if known:
        rotation = _turned(example["object_rotation"].T, geometry).T  # its columns are the object's axes
        translation_m = _turned(example["object_translation_m"], geometry)
    return {
        "object_id": np.asarray(example["object_id"], np.int32),
        "object_rotation": rotation.astype(np.float32),
        "object_translation_m": translation_m.astype(np.float32),
        "object_corners_rest_m": example["object_corners_rest_m"],
        "object_symmetry": np.asarray(example["object_symmetry"], np.int32),
        "object_known": np.array(known),
    }


def _segmentation(example: Example, geometry: CropGeometry, stride: int, name: str) -> Fields:
    side = geometry.size_px // stride
    if not example["segmentation"]:
        return {"segmentation": np.zeros((side, side), np.uint8), "segmentation_known": np.array(False)}
    labels = decode_segmentation(example["segmentation"], name=f"the segmentation of {name}")
    if labels.max() >= len(SWAPPED_LABELS):
        raise ValueError(f"the segmentation of {name} holds the label {labels.max()}; 0 to 3 are defined")
    image_size_px = (int(example["width"]), int(example["height"]))
    cropped = crop_segmentation(labels, image_size_px, geometry, stride)
    return {"segmentation": cropped, "segmentation_known": np.array(True)}


def _provenance(example: Example, geometry: CropGeometry) -> Fields:
    return {
        "crop_from_image": geometry.crop_from_image.astype(np.float32),
        "example_index": np.array(-1, np.int32),
        "is_real": np.array(True),
        "key": np.array(example["key"].encode(), f"S{KEY_BYTES}"),
    }


def _turned(vectors: Any, geometry: CropGeometry) -> np.ndarray:
    """Vectors of the camera frame in the axes of the crop's camera."""
    xy = transform_vectors(geometry.turn, vectors[..., :2].astype(np.float64))
    return np.concatenate([xy, vectors[..., 2:]], axis=-1)

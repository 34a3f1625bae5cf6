"""From schema examples to the rows of a `types.Batch`. NumPy only.

Pixels are decoded, cropped and augmented example by example (`Cut`), labels moved for a whole batch at once
(`input_pipeline.labels`): one by one they took as long as the warp.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.augment import NONE, Augmentation, scale_colour
from input_pipeline.config import DataConfig
from input_pipeline.crop import CropGeometry, crop_geometry, crop_image, crop_segmentation, reduction_for
from input_pipeline.labels import Fields, label_fields
from input_pipeline.readers import BLACK_BELOW, decode_image, decode_segmentation, is_jpeg
from input_pipeline.schema import KEY_BYTES, Example
from occrobnet_jax.geometry.cameras import project, transform_vectors

LABEL_MASKS = (
    *("joint_annotated", "joint_px_annotated", "joint_in_crop", "hand_present_known", "root_known"),
    *("segmentation_known", "object_known", "hand_pose_known"),
)
"""Fields that say whether a label counts."""

OBJECT_LABEL = 3  # of the segmentation
SWAPPED_LABELS = np.array([0, 2, 1, 3], np.uint8)  # of the segmentation: right and left hand


@dataclasses.dataclass(frozen=True)
class Cut:
    """An example whose pixels are those of the crop; its colours and its labels are still as stored."""

    example: Example
    geometry: CropGeometry
    pixels: Fields  # image, segmentation, segmentation_known
    colour: tuple[float, float, float] = NONE.colour  # factors that the image is still to be multiplied by
    labels_count: bool = True
    example_index: int = -1  # whoever forms batches knows better
    is_real: bool = True
    facts: Fields = dataclasses.field(default_factory=dict)


def training_cut(example: Example, data: DataConfig, heatmap_stride: int, augmentation: Augmentation) -> Cut:
    """A schema example as training sees it.

    Raises:
        ValueError: the image is broken or contradicts its record, or there is no usable box; names the example.
    """
    return _cut(example, data, heatmap_stride, augmentation, mask_black=data.black_frames != "keep")


def evaluation_cut(
    example: Example, data: DataConfig, heatmap_stride: int, photo: UInt8[np.ndarray, "h w 3"] | None = None
) -> Cut:
    """A schema example as evaluation and prediction see it: no augmentation. Raises what `training_cut` does.

    Its image is decoded here, unless `photo` has its pixels and no smaller ones are needed.
    """
    return _cut(example, data, heatmap_stride, NONE, mask_black=data.black_frames == "mask", photo=photo)


def assemble(cuts: Sequence[Cut]) -> Fields:
    """The batch of some cuts of one size; those whose labels don't count have none that do."""
    fields = {name: np.stack([cut.pixels[name] for cut in cuts]) for name in ("segmentation", "segmentation_known")}
    fields["image"] = np.empty((len(cuts), *cuts[0].pixels["image"].shape), np.uint8)
    for cut, row in zip(cuts, fields["image"], strict=True):
        scale_colour(cut.pixels["image"], cut.colour, out=row)  # where it belongs, instead of a copy more
    fields |= label_fields([cut.example for cut in cuts], [cut.geometry for cut in cuts])
    fields |= {name: np.stack([cut.facts[name] for cut in cuts]) for name in cuts[0].facts}
    uncounted = [not cut.labels_count for cut in cuts]
    for name in LABEL_MASKS:
        fields[name][uncounted] = False
    return fields | {
        "example_index": np.array([cut.example_index for cut in cuts], np.int32),
        "is_real": np.array([cut.is_real for cut in cuts]),
        "key": np.array([cut.example["key"].encode() for cut in cuts], f"S{KEY_BYTES}"),
    }


def crop_example(
    example: Example, data: DataConfig, heatmap_stride: int, photo: UInt8[np.ndarray, "h w 3"] | None = None
) -> Fields:
    """The row of one example as evaluation and prediction see it, see `evaluation_cut`."""
    return _row(evaluation_cut(example, data, heatmap_stride, photo))


def augment_example(example: Example, data: DataConfig, heatmap_stride: int, augmentation: Augmentation) -> Fields:
    """The row of one example as training sees it. Raises what `training_cut` does."""
    return _row(training_cut(example, data, heatmap_stride, augmentation))


def benchmark_facts(example: Example, fields: Fields) -> Fields:
    """What benchmarks ask about an example besides the labels, see `evaluation.records.FACTS`.

    Args:
        example: as stored.
        fields: its crop's pixels, without augmentation.
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


def _cut(
    example: Example,
    data: DataConfig,
    heatmap_stride: int,
    augmentation: Augmentation,
    *,
    mask_black: bool,
    photo: np.ndarray | None = None,
) -> Cut:
    name = f"example {example['key']!r}"
    try:
        centre_px = data.input_size_px / 2 if data.crop_centre == "half_size" else None
        box, scale = _box(example, data)
        geometry = crop_geometry(box, data.input_size_px, scale, augmentation, centre_px)
    except ValueError as error:
        raise ValueError(f"{name} can't be cropped: {error}") from error
    image = _image(example, geometry, photo, averaging=data.crop_averaging)
    pixels = {"image": image} | _segmentation(example, geometry, heatmap_stride, name)
    labels_count = not (mask_black and image.max() < BLACK_BELOW)
    return Cut(example, geometry, pixels, augmentation.colour, labels_count)


def _row(cut: Cut) -> Fields:
    return {name: values[0, ...] for name, values in assemble([cut]).items()}


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


def _image(example: Example, geometry: CropGeometry, photo: np.ndarray | None, *, averaging: bool) -> np.ndarray:
    """The crop's pixels, of a photo that is decoded no larger than they need."""
    name = f"the image of example {example['key']!r}"
    reduction = reduction_for(geometry) if averaging and is_jpeg(example["image"]) else 1
    if photo is None or reduction > 1:
        photo = decode_image(example["image"], name=name, reduction=reduction)
    if photo.shape[:2] != (-(-example["height"] // reduction), -(-example["width"] // reduction)):
        found = decode_image(example["image"], name=name)
        raise ValueError(
            f"{name} is {found.shape[1]} x {found.shape[0]} px where its record says "
            f"{example['width']} x {example['height']}; prepare the dataset again"
        )
    return crop_image(photo, geometry, averaging=averaging, reduction=reduction)


def _segmentation(example: Example, geometry: CropGeometry, stride: int, name: str) -> Fields:
    side = geometry.size_px // stride
    if not example["segmentation"]:
        return {"segmentation": np.zeros((side, side), np.uint8), "segmentation_known": np.array(False)}
    labels = decode_segmentation(example["segmentation"], name=f"the segmentation of {name}")
    if labels.max() >= len(SWAPPED_LABELS):
        raise ValueError(f"the segmentation of {name} holds the label {labels.max()}; 0 to 3 are defined")
    image_size_px = (int(example["width"]), int(example["height"]))
    cropped = crop_segmentation(labels, image_size_px, geometry, stride)
    if geometry.is_mirrored:
        cropped = SWAPPED_LABELS[cropped]
    return {"segmentation": cropped, "segmentation_known": np.array(True)}

"""From schema examples to the rows of a `types.Batch`. NumPy only.

A `Cut` says what is to be cut out of an example. The pixels are decoded, cropped and augmented when a batch is put
together, straight into it; its labels are moved all at once (`input_pipeline.labels`).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from input_pipeline.augment import NONE, Augmentation, scale_color
from input_pipeline.config import DataConfig
from input_pipeline.crop import CropGeometry, crop_geometry, crop_image, crop_segmentation, reduction_for
from input_pipeline.labels import Fields, label_fields
from input_pipeline.looks import develop, occlude
from input_pipeline.schema import KEY_BYTES, Example
from occrobnet_jax.fields import BATCH, MATCHED
from occrobnet_jax.files.readers import BLACK_BELOW, decode_image, decode_segmentation, is_jpeg
from occrobnet_jax.geometry.cameras import project, transform_vectors
from occrobnet_jax.skeleton import VISIBILITY

LABEL_MASKS = tuple(field.name for field in BATCH if field.is_mask)
"""Fields that say whether a label counts."""

UNKNOWN, BEHIND_OBJECT = (VISIBILITY.index(name) for name in ("unknown", "object"))
Covers = dict[int, Bool[np.ndarray, "size size"]]
"""By row of a batch, where something was put before the crop."""

OBJECT_LABEL = 3  # of the segmentation
SWAPPED_LABELS = np.array([0, 2, 1, 3], np.uint8)  # of the segmentation: right and left hand


@dataclasses.dataclass(frozen=True)
class Cut:
    """An example as stored, and what a row of a batch is to be of it."""

    example: Example
    geometry: CropGeometry
    data: DataConfig
    heatmap_stride: int
    augmentation: Augmentation  # of which the geometry is made already
    mask_black: bool  # whether labels of a crop that shows nothing don't count
    photo: UInt8[np.ndarray, "h w 3"] | None = None  # its pixels, if they have been decoded already
    example_index: int = -1  # whoever forms batches knows better
    is_real: bool = True  # otherwise it fills up a batch, and no label counts
    with_facts: bool = False  # of benchmarks
    told_focal: float = 1.0  # times the true focal lengths: what the network is told of them

    @property
    def name(self) -> str:
        """For error messages."""
        return f"example {self.example['key']!r}"


def training_cut(example: Example, data: DataConfig, heatmap_stride: int, augmentation: Augmentation) -> Cut:
    """Return a schema example as training sees it.

    Raises:
        ValueError: there is no usable box; names the example.
    """
    geometry = _geometry(example, data, augmentation)
    return Cut(example, geometry, data, heatmap_stride, augmentation, mask_black=data.black_frames != "keep")


def evaluation_cut(
    example: Example,
    data: DataConfig,
    heatmap_stride: int,
    photo: UInt8[np.ndarray, "h w 3"] | None = None,
    augmentation: Augmentation = NONE,
) -> Cut:
    """Return a schema example as evaluation and prediction see it, unaugmented unless a corruption says so.

    Its image is decoded later on, unless `photo` has its pixels and no smaller ones are needed. Raises what
    `training_cut` does.
    """
    masks = data.black_frames == "mask"
    return Cut(example, _geometry(example, data, augmentation), data, heatmap_stride, augmentation, masks, photo)


def assemble(cuts: Sequence[Cut]) -> Fields:
    """Return the batch of some cuts of one size; those that are not real or not to be seen have no label that counts.

    Raises:
        ValueError: an image is broken or contradicts its record; names the example.
    """
    fields, is_black, covers = _pixels(cuts)
    if cuts[0].with_facts:
        facts = [
            benchmark_facts(cut.example, {name: values[row] for name, values in fields.items()})
            for row, cut in enumerate(cuts)
        ]
        fields |= {name: np.stack([each[name] for each in facts]) for name in facts[0]}
    fields |= label_fields([cut.example for cut in cuts], [cut.geometry for cut in cuts])
    fields["intrinsics"][:, :2, :2] *= np.array([cut.told_focal for cut in cuts], np.float32)[:, None, None]
    _hide_covered(fields, covers)
    fields |= {
        "example_index": np.array([cut.example_index for cut in cuts], np.int32),
        "is_real": np.array([cut.is_real for cut in cuts]),
        "key": np.array([cut.example["key"].encode() for cut in cuts], f"S{KEY_BYTES}"),
    }
    uncounted = ~fields["is_real"] | (is_black & [cut.mask_black for cut in cuts])
    for name in LABEL_MASKS:
        fields[name][uncounted] = False
    return fields


def crop_example(
    example: Example, data: DataConfig, heatmap_stride: int, photo: UInt8[np.ndarray, "h w 3"] | None = None
) -> Fields:
    """Return the row of one example as evaluation and prediction see it, see `evaluation_cut`."""
    return _row(evaluation_cut(example, data, heatmap_stride, photo))


def augment_example(example: Example, data: DataConfig, heatmap_stride: int, augmentation: Augmentation) -> Fields:
    """Return the row of one example as training sees it. Raises what `training_cut` does."""
    return _row(training_cut(example, data, heatmap_stride, augmentation))


def benchmark_facts(example: Example, fields: Fields) -> Fields:
    """Return what benchmarks ask about an example besides the labels, see `fields.FACTS`.

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
        **{field.name: np.asarray(example[field.name], field.dtype) for field in MATCHED},
    }


def label_box(example: Example) -> Float[np.ndarray, "4"]:
    """Return the tight box (x0, y0, x1, y1) around the annotated joints and the corners of a known object.

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


def _geometry(example: Example, data: DataConfig, augmentation: Augmentation) -> CropGeometry:
    try:
        center_px = data.input_size_px / 2 if data.crop_centre == "half_size" else None
        box, scale = _box(example, data)
        return crop_geometry(box, data.input_size_px, scale, augmentation, center_px)
    except ValueError as error:
        raise ValueError(f"example {example['key']!r} can't be cropped: {error}") from error


def _row(cut: Cut) -> Fields:
    return {name: values[0, ...] for name, values in assemble([cut]).items()}


def _box(example: Example, data: DataConfig) -> tuple[Float[np.ndarray, "4"], float]:
    """Return the box, and how much larger than it the crop is."""
    padding_px = data.box_pad_px * np.array([-1, -1, 1, 1])
    if data.box_source == "joints":
        return label_box(example) + padding_px, data.box_scale
    if data.box_source == "rootnet":
        if not example["rootnet_known"]:
            raise ValueError(
                "RootNet's output has no entry for it, or its dataset was prepared without that file; put the complete "
                "file where docs/datasets.md says, and prepare the dataset again"
            )
        return example["rootnet_box_px"], 1.0  # square and enlarged by 1.25 already; no InterHand2.6M box is padded
    if not example["box_known"]:
        raise ValueError("its dataset gives no box; set data.box_source=joints")
    return example["box_px"] + padding_px, data.box_scale


def _hide_covered(fields: Fields, covers: Covers) -> None:
    """Mark joints behind what was put before the crop as hidden by an object, as far as their visibility is known."""
    for row, covered in covers.items():
        x, y = np.clip(np.rint(fields["joints_px"][row]), 0, len(covered) - 1).astype(int).transpose(2, 0, 1)
        hidden = covered[y, x] & fields["joint_in_crop"][row] & (fields["visibility"][row] != UNKNOWN)
        fields["visibility"][row][hidden] = BEHIND_OBJECT


def _pixels(cuts: Sequence[Cut]) -> tuple[Fields, Bool[np.ndarray, " b"], Covers]:
    """Return the images and segmentations, whether each image shows nothing, and where something was put before it.

    A crop is still in the processor's cache when its colours are written to the batch: that is the only copy of it.
    """
    size = cuts[0].geometry.size_px
    side = size // cuts[0].heatmap_stride
    image = np.empty((len(cuts), size, size, 3), np.uint8)
    segmentation, is_known = np.zeros((len(cuts), side, side), np.uint8), np.zeros(len(cuts), bool)
    is_black, covers = np.zeros(len(cuts), bool), {}
    for row, cut in enumerate(cuts):
        crop, look = _image(cut), cut.augmentation.look
        is_black[row] = crop.max() < BLACK_BELOW
        if cut.example["segmentation"]:
            segmentation[row], is_known[row] = _segmentation(cut), True
        if look.occluders:
            covers[row] = occlude(crop, look)
            segmentation[row][covers[row][:: cut.heatmap_stride, :: cut.heatmap_stride]] = 0
        scale_color(crop, cut.augmentation.color, out=image[row])
        develop(image[row], look)
    return {"image": image, "segmentation": segmentation, "segmentation_known": is_known}, is_black, covers


def _image(cut: Cut) -> UInt8[np.ndarray, "size size 3"]:
    """Return the crop's pixels, of a photo that is decoded no larger than they need."""
    example, averaging, name = cut.example, cut.data.crop_averaging, f"the image of {cut.name}"
    reduction = reduction_for(cut.geometry) if averaging and is_jpeg(example["image"]) else 1
    photo = cut.photo
    if photo is None or reduction > 1:
        photo = decode_image(example["image"], name=name, reduction=reduction)
    if photo.shape[:2] != (-(-example["height"] // reduction), -(-example["width"] // reduction)):
        found = decode_image(example["image"], name=name)
        raise ValueError(
            f"{name} is {found.shape[1]} x {found.shape[0]} px where its record says "
            f"{example['width']} x {example['height']}; prepare the dataset again"
        )
    return crop_image(photo, cut.geometry, averaging=averaging, reduction=reduction)


def _segmentation(cut: Cut) -> UInt8[np.ndarray, "side side"]:
    example = cut.example
    labels = decode_segmentation(example["segmentation"], name=f"the segmentation of {cut.name}")
    if labels.max() >= len(SWAPPED_LABELS):
        raise ValueError(f"the segmentation of {cut.name} holds the label {labels.max()}; 0 to 3 are defined")
    image_size_px = (int(example["width"]), int(example["height"]))
    cropped = crop_segmentation(labels, image_size_px, cut.geometry, cut.heatmap_stride)
    return SWAPPED_LABELS[cropped] if cut.geometry.is_mirrored else cropped

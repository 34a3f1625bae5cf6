"""Examples as InterHand2.6M has them, 512 x 334 px without segmentation, drawn here; and our batches of them."""

import dataclasses
import functools
import typing
from collections.abc import Generator
from unittest import mock

import cv2
import numpy as np

from input_pipeline import pipeline
from input_pipeline.config import DataConfig
from input_pipeline.labels import Fields
from input_pipeline.records import decode_record, encode_record
from input_pipeline.schema import Example
from input_pipeline.synthetic.source import SyntheticHands
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.geometry.cameras import project

WIDTH_PX, HEIGHT_PX, JPEG_QUALITY = 512, 334, 85
TOP_PX = (WIDTH_PX - HEIGHT_PX) // 2
NUM_PHOTOS, BATCH_SIZE, SEED = 32, 32, 0


@dataclasses.dataclass(frozen=True)
class Photos:
    """Stands in for a prepared split of any length: its records are the same few over and over."""

    records: tuple[bytes, ...]
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        return decode_record(self.records[index % len(self.records)])


@functools.cache
def photo_records() -> tuple[bytes, ...]:
    """Return the examples as records."""
    source = SyntheticHands(image_size_px=WIDTH_PX)
    return tuple(encode_record(as_photo(source.example("train", i))) for i in range(NUM_PHOTOS))


def as_photo(example: Example) -> Example:
    """Return a square picture without its upper and lower edge."""
    pixels = decode_image(example["image"], name="picture")[TOP_PX : TOP_PX + HEIGHT_PX, :, ::-1]
    shift = np.array([0, TOP_PX], np.float32)
    intrinsics = example["intrinsics"] - np.array([[0, 0, 0], [0, 0, TOP_PX], [0, 0, 0]], np.float32)
    joints_px = project(example["joints_cam_m"].astype(np.float64), intrinsics.astype(np.float64))
    inside = ((joints_px >= -0.5) & (joints_px < np.array([WIDTH_PX, HEIGHT_PX]) - 0.5)).all(-1)
    return example | {
        "image": cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes(),
        "segmentation": b"",
        "height": np.int32(HEIGHT_PX),
        "intrinsics": intrinsics,
        "joints_in_image": (inside & (example["joints_annotated"] > 0)).astype(np.uint8),
        "box_px": example["box_px"] - np.tile(shift, 2),
    }


def batches(data: DataConfig, photos: Photos) -> Generator[Fields, None, None]:
    """Return our training batches of photos, endless."""
    with mock.patch.object(pipeline, "open_split", return_value=photos):
        made = pipeline.train_batches(data, heatmap_stride=2, global_batch_size=BATCH_SIZE, seed=SEED)
    return typing.cast(Generator[Fields, None, None], made)

"""From stored 512 x 334 JPEGs to a batch of augmented 256 x 256 examples, one core, over decoding and a warp alone."""

import cv2
import numpy as np

from benchmarks.photos import SEED, photo_records
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, repeated, use_one_core
from input_pipeline.augment import draw
from input_pipeline.config import DataConfig
from input_pipeline.crop import crop_geometry
from input_pipeline.records import decode_record
from input_pipeline.transforms import assemble, training_cut

REPEATS = 20


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an example."""
    use_one_core()
    cv2.setNumThreads(1)
    data, records = DataConfig(), photo_records()
    augmentations = [draw(np.random.default_rng((SEED, i)), data) for i in range(len(records))]
    encoded = [np.frombuffer(decode_record(record)["image"], np.uint8) for record in records]
    crops = [
        crop_geometry(decode_record(record)["box_px"], data.input_size_px, data.box_scale, augmentation)
        for record, augmentation in zip(records, augmentations, strict=True)
    ]
    size = (data.input_size_px, data.input_size_px)

    def ours() -> None:
        assemble(
            [
                training_cut(decode_record(record), data, 2, augmentation)
                for record, augmentation in zip(records, augmentations, strict=True)
            ]
        )

    def limit() -> None:
        for image, crop in zip(encoded, crops, strict=True):
            cv2.warpAffine(
                np.asarray(cv2.imdecode(image, cv2.IMREAD_COLOR)), crop.crop_from_image, size, flags=cv2.INTER_LINEAR
            )

    times = alternate({"ours": repeated(ours, REPEATS), "decode and warp": repeated(limit, REPEATS)}, runs)
    details = {
        "bytes of an image": float(np.mean([len(image) for image in encoded])),
        "crop px per photo px": sorted(round(crop.scale, 2) for crop in crops),
    }
    return measurement(times, "s/example", REPEATS * len(records), details=details)

"""Times the input pipeline: what one core decodes, crops and augments in a second, and how many bytes an image takes.

    python -m tools.time_pipeline --folder=runs/time_pipeline [--photo=image.jpg] [--images=4000]

It writes a dataset of generated 512 x 334 px examples with the labels of two hands, as prepare does, reads it as
train.py does for configs/interhand26m.py, and prints one JSON line. A core's rate is counted by processor time, so that
a busy machine changes it little; the disk's part is what `mb_per_1000_images` times a rate says. The folder is removed.
"""

import argparse
import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs import interhand26m
from input_pipeline.convert.shards import write_dataset
from input_pipeline.pipeline import train_batches
from input_pipeline.schema import Example, empty_example
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import Experiment

WIDTH_PX, HEIGHT_PX = 334, 512
EXAMPLES, BATCH = 1000, 32


class Photos:
    """A dataset source of examples that differ in nothing but their keys: decoding and cropping take their time."""

    name, version = "interhand26m", "1.0.0"
    splits = {"train": EXAMPLES}  # noqa: RUF012

    def __init__(self, photo: bytes) -> None:
        self.photo = photo

    def example(self, split: str, index: int) -> Example:
        """Return two hands half a metre away, and a box around them."""
        rng = np.random.default_rng(0)
        example = empty_example() | {"image": self.photo, "key": f"{split}/{index}", "sequence": "generated"}
        example |= {"width": np.int32(WIDTH_PX), "height": np.int32(HEIGHT_PX), "box_known": np.uint8(1)}
        example["intrinsics"] = np.array([[400, 0, WIDTH_PX / 2], [0, 400, HEIGHT_PX / 2], [0, 0, 1]], np.float32)
        example["joints_cam_m"] = (rng.uniform(-0.1, 0.1, (2, 21, 3)) + [0, 0, 0.5]).astype(np.float32)
        example["root_cam_m"] = example["joints_cam_m"][:, -1]
        for flag in ("joints_annotated", "joints_in_image", "hand_present", "hand_present_known", "root_known"):
            example[flag] = np.ones_like(example[flag])
        example["visibility"] = np.ones_like(example["visibility"])
        example["box_px"] = np.array([67, 156, 267, 356], np.float32)
        return example


def generated_photo() -> bytes:
    """Return a JPEG of about the size of the dataset's, 18 kB: something bright in the middle, and faint noise around
    it.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    part = image[150:400, 80:250]
    part[:] = cv2.resize(rng.integers(0, 255, (20, 14, 3), dtype=np.uint8), part.shape[1::-1])
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()


def measure(experiment: Experiment, num_images: int) -> dict[str, Any]:
    """Draw batches as a run does, after a first one that opens everything."""
    stride = experiment.model.heatmap_stride
    batches = train_batches(experiment.data, heatmap_stride=stride, global_batch_size=BATCH, seed=0)
    next(batches)
    used_s, started = _processor_s(), time.perf_counter()
    for _ in range(num_images // BATCH):
        next(batches)
    used_s, wall_s = _processor_s() - used_s, time.perf_counter() - started
    batches.close()  # type: ignore[attr-defined]
    count = num_images // BATCH * BATCH
    return {
        "images": count,
        "images_per_s_and_core": round(count / used_s, 1),
        "images_per_s": round(count / wall_s, 1),
        "processor_s": round(used_s, 2),
    }


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Time what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="is made, and removed at the end")
    parser.add_argument("--photo", type=Path, help="JPEG of 334 x 512 px; a generated one by default")
    parser.add_argument("--images", type=int, default=4000)
    options = parser.parse_args()
    photo = options.photo.read_bytes() if options.photo else generated_photo()
    options.folder.mkdir(parents=True)
    try:
        write_dataset(Photos(photo), options.folder, 1, show_progress=False)
        config = interhand26m.get_config()
        config.data.data_dir, config.data.num_workers = str(options.folder), 0
        stored = sum(path.stat().st_size for path in options.folder.rglob("*array_record*"))
        result = measure(experiment_from(config.to_dict()), options.images)
        print(json.dumps(result | {"photo_bytes": len(photo), "mb_per_1000_images": round(stored / EXAMPLES / 1e3, 2)}))
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()

"""Our batches of augmented photos on one core, beside a PyTorch DataLoader that makes the same of the same files."""

import functools
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.photos import BATCH_SIZE, SEED, Photos, batches, photo_records
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, use_one_core
from input_pipeline.augment import draw
from input_pipeline.config import DataConfig
from input_pipeline.records import decode_record
from input_pipeline.schema import Example
from input_pipeline.transforms import augment_example

LENGTH, BATCHES = 100_000, 12


class OurTransforms(Dataset):
    """Our own transforms within a DataLoader."""

    def __init__(self, records: tuple[bytes, ...], data: DataConfig):
        self.records, self.data = records, data

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = decode_record(self.records[index % len(self.records)])
        augmentation = draw(np.random.default_rng((SEED, index)), self.data)
        fields = augment_example(example, self.data, 2, augmentation)
        return {name: torch.as_tensor(value) for name, value in fields.items() if name != "key"}


class PlainCode(OurTransforms):
    """The same as people write it by hand: decode, one warp, colours as floats, labels in NumPy."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = decode_record(self.records[index % len(self.records)])
        rng = np.random.default_rng((SEED, index))
        size, matrix, is_flipped = self.data.input_size_px, *self._affine(example, rng)
        encoded = np.frombuffer(example["image"], np.uint8)
        photo = cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
        image = cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR)
        image = np.clip(image * rng.uniform(0.8, 1.2, 3).astype(np.float32), 0, 255).astype(np.uint8)
        return {name: torch.as_tensor(value) for name, value in self._labels(example, matrix, is_flipped).items()} | {
            "image": torch.from_numpy(image)
        }

    def _affine(self, example: Example, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        x0, y0, x1, y1 = example["box_px"]
        side = max(x1 - x0, y1 - y0) * self.data.box_scale
        shift = rng.uniform(-0.15, 0.15, 2) * side
        center = (float((x0 + x1) / 2 + shift[0]), float((y0 + y1) / 2 + shift[1]))
        angle = 45 * np.clip(rng.normal(), -2, 2) if rng.random() < 0.6 else 0.0
        scale = self.data.input_size_px / (side * (1 + 0.25 * np.clip(rng.normal(), -1, 1)))
        matrix: Any = cv2.getRotationMatrix2D(center, float(angle), float(scale))
        matrix[:, 2] += self.data.input_size_px / 2 - np.array(center)
        is_flipped = rng.random() < 0.5
        if is_flipped:
            matrix[0] = -matrix[0]
            matrix[0, 2] += self.data.input_size_px - 1
        return matrix, is_flipped

    def _labels(self, example: Example, matrix: np.ndarray, is_flipped: bool) -> dict[str, Any]:
        joints, annotated = example["joints_cam_m"], example["joints_annotated"] > 0
        projected = joints @ example["intrinsics"].T
        photo_px = projected[..., :2] / np.maximum(projected[..., 2:], 1e-6)
        joints_px = photo_px @ matrix[:, :2].T + matrix[:, 2]
        inside = ((joints_px >= -0.5) & (joints_px < self.data.input_size_px - 0.5)).all(-1)
        turn = matrix[:, :2] / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        turned = np.concatenate([joints[..., :2] @ turn.T, joints[..., 2:]], -1)
        full = np.vstack([matrix, [0, 0, 1]])
        labels = {
            "joints_px": joints_px.astype(np.float32) * annotated[..., None],
            "joints_cam_m": turned.astype(np.float32) * annotated[..., None],
            "joint_annotated": annotated,
            "joint_in_crop": annotated & inside & (example["joints_in_image"] > 0),
            "visibility": np.where(inside, example["visibility"], 5).astype(np.int32),
            "hand_present": example["hand_present"] > 0,
            "root_cam_m": turned[:, -1].astype(np.float32),
            "root_known": example["root_known"] > 0,
        }
        if is_flipped:
            labels = {name: value[::-1].copy() for name, value in labels.items()}
        return labels | {
            "intrinsics": (full @ example["intrinsics"]).astype(np.float32),
            "crop_from_image": matrix.astype(np.float32),
            "object_rotation": example["object_rotation"],
            "object_translation_m": example["object_translation_m"],
            "object_corners_rest_m": example["object_corners_rest_m"],
            "object_id": int(example["object_id"]),
            "object_known": bool(example["object_known"]) and not is_flipped,
            "segmentation": np.zeros((self.data.input_size_px // 2,) * 2, np.uint8),
        }


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an example; no worker processes on either side, since there is one core."""
    use_one_core()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    data, records = DataConfig(), photo_records()
    contestants: dict[str, Callable[[], Iterator[Any]]] = {
        "ours": lambda: batches(data, Photos(records, LENGTH)),
        "DataLoader, plain code": lambda: iter(DataLoader(PlainCode(records, data), BATCH_SIZE, shuffle=True)),
        "DataLoader, our transforms": lambda: iter(DataLoader(OurTransforms(records, data), BATCH_SIZE, shuffle=True)),
    }
    times = alternate({name: functools.partial(seconds_for, it) for name, it in contestants.items()}, runs)
    return measurement(times, "s/example", BATCHES * BATCH_SIZE)


def seconds_for(open_batches: Callable[[], Iterator[Any]]) -> float:
    """Return seconds that some batches take, after as many that what is made ahead has been used up.

    Nothing is made ahead on others' time: the iterator ends with its turn.
    """
    iterator = open_batches()
    take(iterator)
    started_s = time.perf_counter()
    take(iterator)
    elapsed_s = time.perf_counter() - started_s
    if isinstance(iterator, Generator):
        iterator.close()
    return elapsed_s


def take(iterator: Iterator[Any]) -> None:
    """Take some batches."""
    for _ in itertools.islice(iterator, BATCHES):
        pass

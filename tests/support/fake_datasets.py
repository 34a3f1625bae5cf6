"""Small datasets for tests: stick hands with a dot drawn on every joint, written as TFDS shards in a moment."""

from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds

from input_pipeline import schema
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.skeleton import BONES, INTERHAND, LEFT, NUM_JOINTS, RIGHT, WRIST

# Metres from each joint to its parent, base to tip, as real hands have them (wrist to base first).
BONE_LENGTHS_M = {
    "thumb": (0.038, 0.036, 0.031, 0.028),
    "index": (0.088, 0.042, 0.026, 0.023),
    "middle": (0.085, 0.044, 0.029, 0.023),
    "ring": (0.080, 0.040, 0.028, 0.023),
    "pinky": (0.076, 0.033, 0.021, 0.021),
}
SPREAD_RAD = {"thumb": -0.9, "index": -0.25, "middle": 0.0, "ring": 0.2, "pinky": 0.4}
HAND_COLORS_RGB = {RIGHT: (224, 150, 110), LEFT: (150, 170, 230)}
OBJECT_COLOR_RGB = (60, 160, 70)


def rotation_matrix(rotation_vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of an axis-angle vector."""
    return cv2.Rodrigues(np.asarray(rotation_vector, np.float64))[0]


def stick_hand(rng: np.random.Generator, hand: int) -> np.ndarray:
    """Wrist-relative joints (21, 3) in metres: fingers up the image, randomly curled, the left a mirrored right."""
    joints = np.zeros((NUM_JOINTS, 3))
    for finger, lengths in BONE_LENGTHS_M.items():
        curl, at = 0.0, np.zeros(3)
        for level, (length, bend) in enumerate(zip(lengths, (0.0, *rng.uniform(0.0, 0.9, 3)), strict=True), 1):
            curl += bend
            sideways, up = np.sin(SPREAD_RAD[finger]), np.cos(SPREAD_RAD[finger])
            at = at + length * np.array([sideways * np.cos(curl), -up * np.cos(curl), -np.sin(curl)])
            joints[INTERHAND.index(f"{finger}{level}")] = at
    joints = joints @ rotation_matrix(rng.uniform(-0.6, 0.6, 3)).T
    return joints * np.array([-1.0, 1.0, 1.0]) if hand == LEFT else joints


def draw(joints_px: np.ndarray, present: np.ndarray, object_px: np.ndarray | None, size: int) -> tuple[np.ndarray, ...]:
    """RGB image and segmentation: bones as thick lines, joints as white dots, the object as a filled hull behind."""
    image = np.full((size, size, 3), 40, np.uint8)
    segmentation = np.zeros((size, size), np.uint8)
    if object_px is not None:
        hull = cv2.convexHull(np.round(object_px).astype(np.int32))
        cv2.fillConvexPoly(image, hull, OBJECT_COLOR_RGB)
        cv2.fillConvexPoly(segmentation, hull, 3)
    for hand in np.flatnonzero(present):
        points = np.round(joints_px[hand] * 16).astype(np.int32)  # cv2's fixed point with 4 bits below the pixel
        width = max(2, size // 24)
        for parent, child in BONES:
            ends = (points[parent].tolist(), points[child].tolist())
            cv2.line(image, *ends, HAND_COLORS_RGB[int(hand)], width, cv2.LINE_AA, 4)
            cv2.line(segmentation, *ends, int(hand) + 1, width, cv2.LINE_8, 4)
        for point in points:
            cv2.circle(image, point.tolist(), max(16, size // 4), (255, 255, 255), -1, cv2.LINE_AA, 4)
    return image, segmentation


def fake_example(index: int, size: int = 96, seed: int = 0) -> schema.Example:
    """Example number `index`: right, left or both hands in turn, every second one with an object."""
    rng = np.random.default_rng((seed, index))
    example = schema.empty_example()
    present = np.array([(1, 0), (0, 1), (1, 1)][index % 3], np.uint8)
    with_object = index % 2 == 1
    intrinsics = np.array([[1.6 * size, 0, size / 2 - 1.3], [0, 1.55 * size, size / 2 + 0.7], [0, 0, 1]])
    roots = np.array([[0.07, 0.08, 0.65], [-0.07, 0.08, 0.68]]) + rng.uniform(-0.02, 0.02, (2, 3))
    joints = np.stack([stick_hand(rng, hand) + roots[hand] for hand in (RIGHT, LEFT)]) * present[:, None, None]
    project = joints @ intrinsics.T
    joints_px = project[..., :2] / np.where(project[..., 2:] > 0, project[..., 2:], 1)
    example["joints_cam_m"] = joints.astype(np.float32)
    example["joints_annotated"] = np.repeat(present[:, None], NUM_JOINTS, 1)
    inside = ((joints_px > -0.5) & (joints_px < size - 0.5)).all(-1) & (present[:, None] > 0)
    example["joints_in_image"] = inside.astype(np.uint8)
    example["visibility"] = (np.where(inside, 1, 5) * present[:, None]).astype(np.uint8)
    example["visible_share"] = inside.astype(np.float32)
    example["hand_present"], example["hand_present_known"] = present, np.uint8(1)
    example["root_cam_m"], example["root_known"] = example["joints_cam_m"][:, WRIST], present
    example["labels_complete"] = np.uint8(1)
    for hand in np.flatnonzero(present):
        example["hand_box_px"][hand] = np.concatenate([joints_px[hand].min(0), joints_px[hand].max(0)])
    corners_px = _add_object(example, rng, roots.mean(0), intrinsics) if with_object else None
    shown = np.concatenate([joints_px[present > 0].reshape(-1, 2)] + ([corners_px] if with_object else []))
    example["box_px"] = np.concatenate([shown.min(0), shown.max(0)]).astype(np.float32)
    example["box_known"] = np.uint8(1)
    example["intrinsics"] = intrinsics.astype(np.float32)
    example["height"] = example["width"] = np.int32(size)
    image, segmentation = draw(joints_px, present, corners_px, size)
    example["image"] = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    example["segmentation"] = cv2.imencode(".png", segmentation)[1].tobytes()
    example["key"], example["sequence"], example["camera"] = f"fake/{seed}/{index:06d}", "fake", "0"
    return example


def _add_object(example: schema.Example, rng: np.random.Generator, at_m: np.ndarray, intrinsics: np.ndarray):
    """Puts a small box into the example and returns its projected corners."""
    half = rng.uniform(0.02, 0.04, 3)
    corners = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)]) * half
    rotation, translation = rotation_matrix(rng.uniform(-1, 1, 3)), at_m + np.array([0, -0.06, 0.03])
    example["object_id"], example["object_known"] = np.int32(1), np.uint8(1)
    example["object_rotation"] = rotation.astype(np.float32)
    example["object_translation_m"] = translation.astype(np.float32)
    example["object_corners_rest_m"] = corners.astype(np.float32)
    example["object_symmetry"] = np.int32(OBJECT_SYMMETRY.index("box"))
    projected = (corners @ rotation.T + translation) @ intrinsics.T
    return projected[:, :2] / projected[:, 2:]


def write_examples(data_dir: Path, splits: dict[str, list[schema.Example]], dataset: str = "synthetic_hands") -> Path:
    """Writes schema examples as TFDS array_record shards, in no particular order; returns `data_dir`."""
    text = {field: tfds.features.Text() for field in (*schema.BYTES_FIELDS, *schema.TEXT_FIELDS)}
    arrays = {
        field: tfds.features.Tensor(shape=shape, dtype=dtype) for field, (shape, dtype) in schema.ARRAY_FIELDS.items()
    }
    with tfds.core.registered.skip_registration():

        class Builder(tfds.core.GeneratorBasedBuilder):
            name = dataset
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(arrays | text))

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(examples) for split, examples in splits.items()}

            def _generate_examples(self, examples):
                yield from ((example["key"], example) for example in examples)

    tfds.disable_progress_bar()
    Builder(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return Path(data_dir)


def write_fake_dataset(
    data_dir: Path, num: int = 16, size: int = 96, *, name: str = "synthetic_hands", seed: int = 0
) -> Path:
    """Writes splits "train" (`num` examples), "val" and "test" (half as many each); returns `data_dir`.

    Use it with `DataConfig(name=name, data_dir=str(data_dir), ...)`.
    """
    counts = {"train": num, "val": max(1, num // 2), "test": max(1, num // 2)}
    splits = {
        split: [fake_example(index, size, seed=1000 * seed + number) for index in range(count)]
        for number, (split, count) in enumerate(counts.items())
    }
    return write_examples(data_dir, splits, name)

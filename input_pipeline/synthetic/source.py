"""The dataset `synthetic_hands`: examples as a function of (seed, split, index) alone."""

import dataclasses
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from input_pipeline.schema import Example
from input_pipeline.synthetic.labels import scene_labels
from input_pipeline.synthetic.look import sample_look
from input_pipeline.synthetic.objects import FAMILIES, HELD_OUT_FAMILY, INSTANCES_PER_FAMILY, Solid, make_solid
from input_pipeline.synthetic.rendering import draw
from input_pipeline.synthetic.scene import sample_scene
from input_pipeline.synthetic.skin import make_subject
from input_pipeline.synthetic.stage import build_stage
from occrobnet_jax.skeleton import SCENE_KINDS, VISIBILITY

VERSION = "1.0.0"
"""Of the content: raised whenever an example of the same seed, split and index becomes another one."""

SPLITS = ("train", "val", "test")
DEFAULT_COUNTS = {"train": 20000, "val": 1000, "test": 1000}
DEFAULT_IMAGE_SIZE_PX = 256
JPEG_QUALITY = 92

_INSTANCES = {"train": (1, 700), "val": (700, 850), "test": (850, 1000)}
_SUBJECTS = {"train": (0, 600), "val": (600, 660), "test": (660, 720)}
EXAMPLE_STREAM, _INSTANCE_STREAM, _PRINT_STREAM, _SUBJECT_STREAM = range(4)
LEAST_VISIBLE_JOINTS = {"one_hand": 12, "hand_object": 7, "two_hands": 6, "two_hands_object": 5}
ATTEMPTS = 200


@dataclasses.dataclass(frozen=True)
class SyntheticHands:
    """Source of `synthetic_hands`; picklable, without state."""

    splits: dict[str, int] = dataclasses.field(default_factory=lambda: dict(DEFAULT_COUNTS))
    image_size_px: int = DEFAULT_IMAGE_SIZE_PX
    seed: int = 0
    name: str = "synthetic_hands"
    version: str = VERSION
    kinds: tuple[str, ...] = SCENE_KINDS  # of the examples, over and over

    @property
    def settings(self) -> dict[str, Any]:
        """What the examples depend on besides split and index. The usual kinds are left out: so are they in datasets
        that were made when there were no others.
        """
        kinds = {} if self.kinds == type(self).kinds else {"kinds": self.kinds}
        return {"seed": self.seed, "image_size_px": self.image_size_px, **kinds}

    def __post_init__(self) -> None:
        """Check the settings."""
        unknown = set(self.splits) - set(SPLITS)
        if unknown:
            raise ValueError(f"splits {sorted(unknown)} do not exist; {self.name} has {SPLITS}")
        if not self.kinds or set(self.kinds) - set(type(self).kinds):
            raise ValueError(f"kinds={self.kinds} must be some of those that {self.name} has: {type(self).kinds}")
        if not 32 <= self.image_size_px <= 2048:
            raise ValueError(f"image_size_px={self.image_size_px} must lie between 32 and 2048")

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split."""
        kind = self.kinds[index % len(self.kinds)]
        rng = self._stream(EXAMPLE_STREAM, SPLITS.index(split), index)
        for _ in range(ATTEMPTS):
            example = self._attempt(split, kind, rng)
            if example is not None:
                example["key"] = f"{self.name}/{split}/{kind}/{index:06d}"
                example["sequence"] = kind
                return example
        raise RuntimeError(f"no acceptable scene in {ATTEMPTS} attempts for {split} {index}, seed {self.seed}")

    def _stream(self, *path: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, *path]))

    def _person(self, split: str, rng: np.random.Generator) -> np.random.Generator:
        """Return the random stream of one of the split's people."""
        return self._stream(_SUBJECT_STREAM, int(rng.integers(*_SUBJECTS[split])))

    def _print(self, object_id: int) -> np.random.Generator:
        """Return the random stream of an object's print."""
        return self._stream(_PRINT_STREAM, object_id)

    def _attempt(self, split: str, kind: str, rng: np.random.Generator) -> Example | None:
        subject = make_subject(self._person(split, rng))
        object_id, solid = 0, None
        if kind.endswith("object"):
            object_id, solid = self._object(split, kind.startswith("two"), rng)
        scene = sample_scene(kind, subject.shape, solid, self.image_size_px, rng)
        if scene is None:
            return None
        stage = build_stage(scene, subject)
        example = scene_labels(scene, stage, self.image_size_px)
        visible = (example["visibility"] == VISIBILITY.index("visible")).sum(1)
        if any(visible[hand.side] < LEAST_VISIBLE_JOINTS[kind] for hand in scene.hands):
            return None
        look = sample_look(self.image_size_px, self._print(object_id), rng)
        image, segmentation = draw(scene, stage, look, self.image_size_px, rng)
        example["object_id"] = np.int32(object_id)
        return example | encoded_pictures(image, segmentation, JPEG_QUALITY)

    def _object(self, split: str, two_hands: bool, rng: np.random.Generator) -> tuple[int, Solid]:
        """Return an object of the split; test has all families, the held-out one in every second scene."""
        known = [family for family in FAMILIES if family != HELD_OUT_FAMILY]
        family = known[rng.integers(len(known))]
        if split == "test" and rng.random() < 0.5:
            family = HELD_OUT_FAMILY
        instance = int(rng.integers(*_INSTANCES[split]))
        number = 1 + FAMILIES.index(family)
        stream = self._stream(_INSTANCE_STREAM, number, instance)
        return INSTANCES_PER_FAMILY * number + instance, make_solid(family, stream, two_hands and instance % 2 == 0)


def encoded_pictures(
    image: UInt8[np.ndarray, "s s 3"], segmentation: UInt8[np.ndarray, "s s"], jpeg_quality: int
) -> Example:
    """Return the two fields of an example that hold pictures (RGB, labels)."""
    return {
        "image": _encoded(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]),
        "segmentation": _encoded(".png", segmentation, [cv2.IMWRITE_PNG_COMPRESSION, 6]),
    }


def _encoded(extension: str, image: np.ndarray, options: list[int]) -> bytes:
    done, buffer = cv2.imencode(extension, image, options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a {extension} of shape {image.shape}")
    return buffer.tobytes()

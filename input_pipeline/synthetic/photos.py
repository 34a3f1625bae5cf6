"""The dataset `synthetic_hands_v2`: hands as photos show them, as a function of (seed, split, index) alone."""

import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.schema import Example
from input_pipeline.synthetic.damage import damaged, jpeg_quality
from input_pipeline.synthetic.labels import scene_labels
from input_pipeline.synthetic.objects import Solid
from input_pipeline.synthetic.people import body, body_before, body_behind, ring, sleeve, watch
from input_pipeline.synthetic.photo_look import make_photo_subject, sample_photo_look
from input_pipeline.synthetic.photo_scene import sample_intrinsics, sample_photo_scene
from input_pipeline.synthetic.props import sample_props
from input_pipeline.synthetic.rendering import draw
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.source import SyntheticHands, encoded_pictures
from input_pipeline.synthetic.stage import Prop, build_stage
from occrobnet_jax.skeleton import VISIBILITY

VERSION_2 = "2.4.0"
"""Of the content: raised whenever an example of the same seed, split and index becomes another one."""

NO_HAND = "no_hand"
_LEAST_VISIBLE_JOINTS, _LEAST_JOINTS_INSIDE = 5, 8
_MOST_PROPS = 5
_SLEEVES_PROBABILITY, _WATCH_PROBABILITY, _RINGS_PROBABILITY, _BODY_PROBABILITY = 0.55, 0.4, 0.25, 0.5
_PROPS_BEHIND_PROBABILITY, _PROPS_BEFORE_PROBABILITY = 0.25, 0.12
_ARM_M = 0.4
_CUFF_M = (0.03, 0.2)
"""How far from the wrist sleeves begin."""


@dataclasses.dataclass(frozen=True)
class SyntheticPhotos(SyntheticHands):
    """Source of `synthetic_hands_v2`; picklable, without state. A third of the examples have no hand."""

    name: str = "synthetic_hands_v2"
    version: str = VERSION_2
    kinds: tuple[str, ...] = (
        *("one_hand", NO_HAND, "two_hands", "one_hand", NO_HAND, "hand_object"),
        *("one_hand", NO_HAND, "two_hands", "one_hand", NO_HAND, "two_hands_object"),
    )

    def _attempt(self, split: str, kind: str, rng: np.random.Generator) -> Example | None:
        size = self.image_size_px
        subject, skin = make_photo_subject(self._person(split, rng))
        object_id, solid = self._object(split, kind.startswith("two"), rng) if kind.endswith("object") else (0, None)
        scene = _scene(kind, subject.shape, solid, size, rng)
        if scene is None:
            return None
        stage = build_stage(scene, subject, _props(scene, rng))
        example = _with_boxes_inside(scene_labels(scene, stage, size), size, rng)
        if not _is_seen(example):
            return None
        look = sample_photo_look(split, size, skin, self._print(object_id) if solid else None, rng)
        image, segmentation = draw(scene, stage, look, size, rng)
        example["object_id"] = np.int32(object_id)
        return example | encoded_pictures(damaged(image, rng), segmentation, jpeg_quality(rng))


def _scene(
    kind: str, shape: Float[np.ndarray, " 10"], solid: Solid | None, size: int, rng: np.random.Generator
) -> Scene | None:
    if kind == NO_HAND:
        return Scene((), None, np.eye(3), np.zeros(3), sample_intrinsics(size, rng))
    return sample_photo_scene(kind, shape, solid, size, rng)


def _props(scene: Scene, rng: np.random.Generator) -> list[Prop]:
    """Return what else there is: alone in pictures without hands, behind and around the hands in others."""
    if not scene.hands:
        return _alone(scene.intrinsics, rng)
    props: list[Prop] = []
    if rng.random() < _SLEEVES_PROBABILITY:
        start_m = -rng.uniform(*_CUFF_M)
        props += [sleeve(hand, start_m, rng) for hand in scene.hands]
    elif rng.random() < _WATCH_PROBABILITY:
        props += watch(scene.hands[0], rng)
    if rng.random() < _RINGS_PROBABILITY:
        props += [ring(hand, rng) for hand in scene.hands for _ in range(int(rng.integers(3)))]
    if rng.random() < (_BODY_PROBABILITY if _is_near(scene) else 1):
        hand = scene.hands[rng.integers(len(scene.hands))]
        props += body_behind(hand, rng) if rng.random() < 0.6 else body_before(hand, rng)
    if rng.random() < _PROPS_BEHIND_PROBABILITY:
        farthest_m = max(hand.joints_m[:, 2].max() for hand in scene.hands)
        depth_m = (farthest_m + 0.4, farthest_m + 1.5)
        props += sample_props(int(rng.integers(1, _MOST_PROPS)), depth_m, scene.intrinsics, rng)
    if rng.random() < _PROPS_BEFORE_PROBABILITY:
        nearest_m = min(hand.joints_m[:, 2].min() for hand in scene.hands)
        props += sample_props(1, (0.5 * nearest_m, 0.8 * nearest_m), scene.intrinsics, rng)
    return props


def _is_near(scene: Scene) -> bool:
    """Return whether the hands fill so much of the picture that their arms leave it."""
    wrists_m = np.stack([hand.wrist_m for hand in scene.hands])
    return bool(_ARM_M * scene.intrinsics[0, 0] / wrists_m[:, 2].max() > scene.intrinsics[0, 2])


def _alone(intrinsics: Float[np.ndarray, "3 3"], rng: np.random.Generator) -> list[Prop]:
    """Return some things, and in a third of the pictures somebody whose hands are not in the picture."""
    props = sample_props(int(rng.integers(_MOST_PROPS + 1)), (0.3, 1.5), intrinsics, rng)
    if rng.random() < 1 / 3:
        depth_m = rng.uniform(0.8, 2.5)
        pixel = np.array([*rng.uniform(0.1, 0.9, 2) * 2 * intrinsics[0, 2], 1.0])
        props += body(np.linalg.inv(intrinsics) @ pixel * depth_m, rng)
    return props


def _with_boxes_inside(example: Example, size: int, rng: np.random.Generator) -> Example:
    """Return the labels with boxes cut at the picture's border, and anywhere where there is no hand."""
    if not example["box_known"]:
        side, corner = rng.uniform(0.15, 1.0) * size, rng.uniform(0, 1, 2)
        low = corner * (size - side) - 0.5
        example["box_px"], example["box_known"] = np.array([*low, *(low + side)], np.float32), np.uint8(1)
    for name in ("box_px", "hand_box_px"):
        example[name] = np.where(example[name] != 0, np.clip(example[name], -0.5, size - 0.5), 0).astype(np.float32)
    return example


def _is_seen(example: Example) -> bool:
    """Return whether enough of each hand is inside the picture, and visible."""
    present = example["hand_present"] > 0
    visible = (example["visibility"] == VISIBILITY.index("visible")).sum(1)
    inside = example["joints_in_image"].sum(1)
    return bool((visible[present] >= _LEAST_VISIBLE_JOINTS).all() and (inside[present] >= _LEAST_JOINTS_INSIDE).all())

"""The dataset `synthetic_occlusion`: one scene, several pictures, that differ in what is before the hands alone.

It has the people, skins, places and light of `synthetic_hands_v2` and hands in every orientation. Camera, hands, light,
noise and crop are those of the scene; an arm is one of skeleton.ARMS. Where no shadow is wanted, a picture takes from
the one with the occluder the occluder's own pixels alone, and all others from the one without.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from input_pipeline.schema import Example
from input_pipeline.synthetic.gestures import natural_angles
from input_pipeline.synthetic.labels import scene_labels
from input_pipeline.synthetic.look import Look
from input_pipeline.synthetic.objects import Solid
from input_pipeline.synthetic.occluders import before_hands, beside_hands
from input_pipeline.synthetic.people import sleeve
from input_pipeline.synthetic.photo_look import make_photo_subject, sample_photo_look
from input_pipeline.synthetic.raycast import RayCaster
from input_pipeline.synthetic.rendering import coarse_labels, photographed, radiance
from input_pipeline.synthetic.scene import Scene, arranged, framed, random_rotation
from input_pipeline.synthetic.skin import Subject
from input_pipeline.synthetic.source import (
    ATTEMPTS,
    EXAMPLE_STREAM,
    JPEG_QUALITY,
    SPLITS,
    SyntheticHands,
    encoded_pictures,
)
from input_pipeline.synthetic.stage import Prop, Stage, build_stage
from occrobnet_jax.skeleton import ARMS, NUM_HANDS, VISIBILITY

VERSION_OCCLUSION = "1.0.0"
"""Of the content: raised whenever an example of the same seed, split and index becomes another one."""

TESTED_ARMS = ARMS[1:]
"""Arms of each scene of "val" and "test", in the order of the examples."""
TRAINING_SHARES = {"occluded": 0.375, "shadowed": 0.375, "free": 0.15, "aside": 0.1}
"""How often each arm is the one of a scene of "train"; without the empty ones a grasp of nothing is never seen."""
HIDING = ("occluded", "shadowed")
OBJECT_LABEL = 3  # of the segmentation

_SHRINKING = (0.55, 0.75)  # of what `framed` makes, so that there is room beside the hands
_HIDDEN_SHARE = (0.03, 0.92)  # of the hand that is hidden most; no hand is hidden more
_LEAST_VISIBLE_JOINTS = 5  # of each hand, without the occluder
_PLACES, _STEP_PX = 8, 6  # that are tried for a loose object, and how finely
_CUFF_M, _SLEEVES_PROBABILITY = (0.03, 0.2), 0.6
_BOX_SHIFT, _BOX_SCALE = 0.06, (0.95, 1.25)  # jitter of the crop, as a finder has it
_ARM_STREAM, _NOISE_STREAM = 4, 5  # beside the four of `synthetic_hands`


class Pose(NamedTuple):
    """A scene before anybody has looked at it."""

    scene: Scene  # with the occluder before the hands
    aside: Scene  # with the occluder beside them
    subject: Subject
    sleeves: Sequence[Prop]

    def arm(self, name: str) -> Scene:
        """Return the scene of an arm."""
        return {"free": dataclasses.replace(self.scene, solid=None), "aside": self.aside}.get(name, self.scene)


class Drawn(NamedTuple):
    """A scene of an arm with everything that is seen of it."""

    scene: Scene
    stage: Stage
    radiance: Float[np.ndarray, "s s 3"]
    segmentation: UInt8[np.ndarray, "s s"]


@dataclasses.dataclass(frozen=True)
class SyntheticOcclusion(SyntheticHands):
    """Source of `synthetic_occlusion`; picklable, without state.

    Of "train" each example is another scene; of "val" and "test" each four are the arms of one.

    Raises:
        ValueError: a setting is out of its range, or a tested split ends amid the arms of a scene.
    """

    splits: dict[str, int] = dataclasses.field(default_factory=lambda: {"train": 1200, "val": 80, "test": 480})
    seed: int = 19
    name: str = "synthetic_occlusion"
    version: str = VERSION_OCCLUSION
    has_arms: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        for split, count in self.splits.items():
            if split != "train" and count % len(TESTED_ARMS):
                raise ValueError(f"{count} examples of {split} are not whole scenes; take a multiple of 4")

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split."""
        if split == "train":
            rng = self._stream(_ARM_STREAM, SPLITS.index(split), index)
            arm = str(rng.choice(list(TRAINING_SHARES), p=list(TRAINING_SHARES.values())))
            return self.arms(split, index, (arm,))[arm]
        number, place = divmod(index, len(TESTED_ARMS))
        return dict(_arms(self.seed, self.image_size_px, self.kinds, split, number)[TESTED_ARMS[place]])

    def arms(self, split: str, number: int, names: Sequence[str]) -> dict[str, Example]:
        """Return some arms of a scene of a split."""
        kind = self.kinds[number % len(self.kinds)]
        rng = self._stream(EXAMPLE_STREAM, SPLITS.index(split), number)
        for _ in range(ATTEMPTS):
            examples = self._scene(split, number, kind, names, rng)
            if examples is not None:
                return examples
        raise RuntimeError(f"no acceptable scene in {ATTEMPTS} attempts for {split} {number}, seed {self.seed}")

    def _scene(
        self, split: str, number: int, kind: str, names: Sequence[str], rng: np.random.Generator
    ) -> dict[str, Example] | None:
        """Return one attempt at the arms of a scene; None where it is not to be had."""
        size = self.image_size_px
        subject, skin = make_photo_subject(self._person(split, rng))
        object_id, solid = self._object(split, kind.startswith("two"), rng)
        posed = _posed(kind, subject, solid, size, rng)
        if posed is None:
            return None
        look = sample_photo_look(split, size, skin, self._print(object_id), rng)
        drawn = {name: _drawn(posed, name, look, size) for name in {"shadowed", "free", *(set(names) & {"aside"})}}
        common = _common(drawn["shadowed"], drawn["free"], size, rng)
        if common is None:
            return None
        examples = {}
        for name in names:
            image, segmentation = _picture(name, drawn)
            noise = self._stream(_NOISE_STREAM, SPLITS.index(split), number)
            pictures = encoded_pictures(photographed(image, look, noise), segmentation, JPEG_QUALITY)
            shown = drawn["shadowed" if name in HIDING else name]
            example = scene_labels(shown.scene, shown.stage, size) | common | pictures
            example["arm"] = np.int32(ARMS.index(name))
            example["hidden_share"] = common["scene_hidden_share"] * np.float32(name in HIDING)
            example["object_id"] = np.int32(0 if name == "free" else object_id)
            example["sequence"] = f"{kind}/{number:06d}"
            example["key"] = f"{self.name}/{split}/{kind}/{number:06d}/{name}"
            examples[name] = example
        return examples


@functools.lru_cache(maxsize=1)  # the arms of a scene are asked for one after the other
def _arms(seed: int, image_size_px: int, kinds: tuple[str, ...], split: str, number: int) -> dict[str, Example]:
    return SyntheticOcclusion(image_size_px=image_size_px, seed=seed, kinds=kinds).arms(split, number, TESTED_ARMS)


def _posed(kind: str, subject: Subject, solid: Solid, size: int, rng: np.random.Generator) -> Pose | None:
    """Return one attempt at hands of a kind of skeleton.SCENE_KINDS and what hides them: what they hold, or what is
    before them.
    """
    held = solid if kind.endswith("object") else None
    scene = arranged(kind, subject.shape, held, natural_angles, rng)
    if scene is not None:
        scene = framed(scene.moved(random_rotation(rng), np.zeros(3)), size, rng)
    if scene is None:
        return None
    scene = dataclasses.replace(scene, intrinsics=_shrunk(scene.intrinsics, rng.uniform(*_SHRINKING)))
    sleeves = [sleeve(hand, -rng.uniform(*_CUFF_M), rng) for hand in scene.hands]
    sleeves = sleeves if rng.random() < _SLEEVES_PROBABILITY else []
    if held is None:
        scene = _covered(scene, subject, solid, size, rng)
    aside = None if scene is None else beside_hands(scene, size)
    return None if scene is None or aside is None else Pose(scene, aside, subject, sleeves)


def _shrunk(intrinsics: Float[np.ndarray, "3 3"], share: float) -> Float[np.ndarray, "3 3"]:
    """Return a camera in whose picture everything is smaller, about the optical axis."""
    return intrinsics @ np.diag([share, share, 1.0])


def _covered(hands: Scene, subject: Subject, solid: Solid, size: int, rng: np.random.Generator) -> Scene | None:
    """Return the scene with a loose object where, of a few places, it hides nearest to a share that is drawn."""
    labels, rays = coarse_labels(hands, build_stage(hands, subject), size, _STEP_PX)
    wanted = rng.uniform(*_HIDDEN_SHARE)
    found: list[tuple[float, int, Scene]] = []
    for _ in range(_PLACES):
        scene = before_hands(hands, solid, rng)
        if scene is not None:
            hits = RayCaster(scene.object_verts_m(), solid.faces).nearest(np.zeros_like(rays), rays)
            share = _hidden_share(np.where(hits.triangle < 0, labels, OBJECT_LABEL), _count_px(labels))
            found.append((abs(float(share.max()) - wanted), len(found), scene))
    return min(found)[-1] if found else None


def _drawn(posed: Pose, arm: str, look: Look, size: int) -> Drawn:
    scene = posed.arm(arm)
    stage = build_stage(scene, posed.subject, posed.sleeves)
    return Drawn(scene, stage, *radiance(scene, stage, look, size))


def _picture(arm: str, drawn: Mapping[str, Drawn]) -> tuple[Float[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
    """Return the picture of an arm before the camera takes it: without the occluder's shadow, but in "shadowed"."""
    shown = drawn["shadowed" if arm in HIDING else arm]
    if arm in ("shadowed", "free"):
        return shown.radiance, shown.segmentation
    is_occluder = occluder_px(shown.segmentation)[..., None]
    return np.where(is_occluder, shown.radiance, drawn["free"].radiance), shown.segmentation


def occluder_px(segmentation: UInt8[np.ndarray, "s s"]) -> Bool[np.ndarray, "s s"]:
    """Return which pixels show some of the occluder: one more to each side, where edges are mixed."""
    return cv2.dilate((segmentation == OBJECT_LABEL).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _common(hiding: Drawn, free: Drawn, size: int, rng: np.random.Generator) -> Example | None:
    """Return the labels that all arms share: what the occluder hides, and the crop. None where too much or nothing is
    hidden, or a hand is not within the picture.
    """
    share = _hidden_share(hiding.segmentation, _count_px(free.segmentation))
    visible = VISIBILITY.index("visible")
    classes, with_occluder = (scene_labels(each.scene, each.stage, size)["visibility"] for each in (free, hiding))
    present = [hand.side for hand in free.scene.hands]
    is_seen = ((classes == visible).sum(1)[present] >= _LEAST_VISIBLE_JOINTS).all()
    is_whole = (classes[present] != VISIBILITY.index("outside")).all()
    if not (is_seen and is_whole and _HIDDEN_SHARE[0] <= share.max() <= _HIDDEN_SHARE[1]):
        return None
    return {
        "scene_hidden_share": share,
        "scene_hidden_joints": ((classes == visible) & (with_occluder != visible)).astype(np.uint8),
        "box_px": _box_px(hiding.segmentation, rng),
    }


def _box_px(segmentation: UInt8[np.ndarray, "s s"], rng: np.random.Generator) -> Float[np.ndarray, " 4"]:
    """Return a box around the hands that are seen, moved and scaled a little, as a finder might have it."""
    rows, columns = np.nonzero((segmentation > 0) & (segmentation != OBJECT_LABEL))
    low, high = np.array([columns.min(), rows.min()]) - 0.5, np.array([columns.max(), rows.max()]) + 0.5
    center, half = (low + high) / 2, (high - low) / 2
    center = center + rng.uniform(-_BOX_SHIFT, _BOX_SHIFT, 2) * 2 * half.max()
    half = half * rng.uniform(*_BOX_SCALE)
    return np.concatenate([center - half, center + half]).astype(np.float32)


def _count_px(labels: UInt8[np.ndarray, "*s"]) -> Int[np.ndarray, " 2"]:
    """Return how many pixels show each hand."""
    return np.bincount(labels.ravel(), minlength=NUM_HANDS + 1)[1 : NUM_HANDS + 1]


def _hidden_share(labels: UInt8[np.ndarray, "*s"], free_px: Int[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """Return the share of each hand's pixels that an occluder took; 0 of a hand that is not there."""
    return (1 - _count_px(labels) / np.maximum(free_px, 1)).astype(np.float32) * (free_px > 0)

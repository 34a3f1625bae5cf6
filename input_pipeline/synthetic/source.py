"""The dataset `synthetic_hands`: examples as a function of (seed, split, index) alone."""

import dataclasses

import cv2
import numpy as np

from input_pipeline.schema import Example, empty_example
from input_pipeline.synthetic.look import sample_look
from input_pipeline.synthetic.objects import FAMILIES, HELD_OUT_FAMILY, INSTANCES_PER_FAMILY, Solid, make_solid
from input_pipeline.synthetic.rendering import draw
from input_pipeline.synthetic.scene import Scene, sample_scene
from input_pipeline.synthetic.skin import make_subject
from input_pipeline.synthetic.stage import NORMAL, Stage, build_stage
from input_pipeline.synthetic.visibility import Skin, inside_image, joint_visibility
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.skeleton import NUM_HANDS, SCENE_KINDS, VISIBILITY

VERSION = "1.0.0"
"""Of the content: raised whenever an example of the same seed, split and index becomes another one."""

SPLITS = ("train", "val", "test")
DEFAULT_COUNTS = {"train": 20000, "val": 1000, "test": 1000}
DEFAULT_IMAGE_SIZE_PX = 256
JPEG_QUALITY = 92

_INSTANCES = {"train": (1, 700), "val": (700, 850), "test": (850, 1000)}
_SUBJECTS = {"train": (0, 600), "val": (600, 660), "test": (660, 720)}
_EXAMPLE_STREAM, _INSTANCE_STREAM, _PRINT_STREAM, _SUBJECT_STREAM = range(4)
_LEAST_VISIBLE_JOINTS = {"one_hand": 12, "hand_object": 7, "two_hands": 6, "two_hands_object": 5}
_ATTEMPTS = 200


@dataclasses.dataclass(frozen=True)
class SyntheticHands:
    """Source of `synthetic_hands`; picklable, without state."""

    splits: dict[str, int] = dataclasses.field(default_factory=lambda: dict(DEFAULT_COUNTS))
    image_size_px: int = DEFAULT_IMAGE_SIZE_PX
    seed: int = 0
    name: str = "synthetic_hands"
    version: str = VERSION

    @property
    def settings(self) -> dict[str, int]:
        """What the examples depend on besides split and index."""
        return {"seed": self.seed, "image_size_px": self.image_size_px}

    def __post_init__(self) -> None:
        """Check the settings."""
        unknown = set(self.splits) - set(SPLITS)
        if unknown:
            raise ValueError(f"splits {sorted(unknown)} do not exist; synthetic_hands has {SPLITS}")
        if not 32 <= self.image_size_px <= 2048:
            raise ValueError(f"image_size_px={self.image_size_px} must lie between 32 and 2048")

    def example(self, split: str, index: int) -> Example:
        """Example number `index` of a split."""
        kind = SCENE_KINDS[index % len(SCENE_KINDS)]
        rng = self._stream(_EXAMPLE_STREAM, SPLITS.index(split), index)
        for _ in range(_ATTEMPTS):
            example = self._attempt(split, kind, rng)
            if example is not None:
                example["key"] = f"{self.name}/{split}/{kind}/{index:06d}"
                example["sequence"] = kind
                return example
        raise RuntimeError(f"no acceptable scene in {_ATTEMPTS} attempts for {split} {index}, seed {self.seed}")

    def _stream(self, *path: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, *path]))

    def _attempt(self, split: str, kind: str, rng: np.random.Generator) -> Example | None:
        subject = make_subject(self._stream(_SUBJECT_STREAM, int(rng.integers(*_SUBJECTS[split]))))
        object_id, solid = 0, None
        if kind.endswith("object"):
            object_id, solid = self._object(split, kind.startswith("two"), rng)
        scene = sample_scene(kind, subject.shape, solid, self.image_size_px, rng)
        if scene is None:
            return None
        stage = build_stage(scene, subject)
        example = self._labels(scene, stage)
        visible = (example["visibility"] == VISIBILITY.index("visible")).sum(1)
        if any(visible[hand.side] < _LEAST_VISIBLE_JOINTS[kind] for hand in scene.hands):
            return None
        look = sample_look(self.image_size_px, self._stream(_PRINT_STREAM, object_id), rng)
        image, segmentation = draw(scene, stage, look, self.image_size_px, rng)
        example["object_id"] = np.int32(object_id)
        example["image"] = _encoded(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        example["segmentation"] = _encoded(".png", segmentation, [cv2.IMWRITE_PNG_COMPRESSION, 6])
        return example

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

    def _labels(self, scene: Scene, stage: Stage) -> Example:
        """Everything but the pixels."""
        size = self.image_size_px
        labels: Example = empty_example()
        intrinsics = scene.intrinsics.astype(np.float32)
        boxes = np.zeros((NUM_HANDS, 4), np.float32)
        for hand, span in zip(scene.hands, stage.hand_verts, strict=True):
            side = hand.side
            joints = hand.joints_m.astype(np.float32)
            faces, normals = load_hand().models[side].faces, stage.attributes[span, NORMAL]
            skin = Skin(stage.verts_m[span], faces, normals, load_hand().joint_verts)
            inside = inside_image(joints, intrinsics, (size, size))
            classes, share = joint_visibility(stage.caster, stage.owner, side, skin, inside, intrinsics, (size, size))
            labels["joints_cam_m"][side] = joints
            labels["joints_annotated"][side] = 1
            labels["visibility"][side], labels["visible_share"][side] = classes, share
            labels["joints_in_image"][side] = classes != VISIBILITY.index("outside")
            labels["hand_present"][side] = labels["root_known"][side] = labels["hand_pose_known"][side] = 1
            labels["root_cam_m"][side] = joints[-1]
            pose, shape, translation_m = hand.parameters()
            labels["hand_pose"][side], labels["hand_shape"][side] = pose, shape
            labels["hand_translation_m"][side] = translation_m
            boxes[side] = _box_px(stage.verts_m[span][load_hand().hand_verts], intrinsics)
        labels["hand_box_px"] = boxes
        shown = [boxes[hand.side] for hand in scene.hands]
        if scene.solid is not None:
            shown.append(_box_px(scene.object_verts_m(), intrinsics))
            labels["object_rotation"] = scene.object_rotation.astype(np.float32)
            labels["object_translation_m"] = scene.object_translation_m.astype(np.float32)
            labels["object_corners_rest_m"] = scene.solid.corners_m()
            labels["object_symmetry"] = np.int32(scene.solid.symmetry)
            labels["object_known"] = np.uint8(1)
        low, high = np.min([box[:2] for box in shown], 0), np.max([box[2:] for box in shown], 0)
        labels["box_px"] = np.concatenate([low, high]).astype(np.float32)
        return labels | {
            "height": np.int32(size),
            "width": np.int32(size),
            "intrinsics": intrinsics,
            "hand_present_known": np.uint8(1),
            "labels_complete": np.uint8(1),
            "box_known": np.uint8(1),
        }


def _box_px(points_cam_m: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    pixels = points_cam_m @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return np.concatenate([pixels.min(0), pixels.max(0)]).astype(np.float32)


def _encoded(extension: str, image: np.ndarray, options: list[int]) -> bytes:
    done, buffer = cv2.imencode(extension, image, options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a {extension} of shape {image.shape}")
    return buffer.tobytes()

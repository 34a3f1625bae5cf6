"""A trained network, ready for photos that are in no dataset."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from input_pipeline.labels import Fields
from input_pipeline.schema import Example, empty_example
from input_pipeline.transforms import crop_example
from occrobnet_jax.files.image_header import refuse_truncated
from occrobnet_jax.files.paths import AnyPath, path_of
from occrobnet_jax.files.readers import decode_image, read_bytes
from occrobnet_jax.geometry.cameras import invert_affine, transform_points
from occrobnet_jax.inference.confirm import FindingRule, Look, confirmed
from occrobnet_jax.inference.finder import FoundHand, common_box, finder_view, found_hands, groups
from occrobnet_jax.inference.focal_length import FocalSource, focal_length
from occrobnet_jax.inference.inputs import LEAST_PX, Box, check_box
from occrobnet_jax.inference.kept_programs import traced_programs
from occrobnet_jax.inference.network import read_network
from occrobnet_jax.parallel.compiler import fast_jit
from occrobnet_jax.runs.config import MANO_FOLDER
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.skeleton import HAND_NAMES, NUM_HANDS, NUM_JOINTS
from occrobnet_jax.types import HandCells, Pose

ALWAYS_FINITE = ("joints_cam_m", "joints_px", "hand_probability", "relative_translation_m")
OBJECT_CLASS = 2 * NUM_JOINTS + 1

BoxSource = Literal["given", "whole photo", "found"]
Image = bytes | str | os.PathLike | UInt8[np.ndarray, "h w 3"]
"""A photo: an encoded file's content, its path, or its pixels in RGB."""


@dataclasses.dataclass(frozen=True, repr=False)
class Prediction:
    """What the network says about one crop; pixels are the photo's, metres are in its camera frame (OpenCV axes)."""

    photo: UInt8[np.ndarray, "h w 3"]
    box_px: Float[np.ndarray, "4"]  # x0, y0, x1, y1
    box_source: BoxSource
    intrinsics: Float[np.ndarray, "3 3"]
    focal_source: FocalSource
    joints_rel_m: Float[np.ndarray, "2 21 3"]  # from the own wrist
    joints_cam_m: Float[np.ndarray, "2 21 3"]
    joints_px: Float[np.ndarray, "2 21 2"]
    root_fit_error_px: Float[np.ndarray, "2"]
    relative_translation_m: Float[np.ndarray, "3"]  # left wrist minus right wrist
    hand_probability: Float[np.ndarray, "2"]
    visibility_probability: Float[np.ndarray, "2 21"]  # NaN without the visibility head
    keypoints_px: Float[np.ndarray, "t 2"]
    keypoint_class: Int[np.ndarray, " t"]
    object_rotation: Float[np.ndarray, "3 3"]  # NaN without object heads
    object_translation_m: Float[np.ndarray, "3"]  # from the right wrist, or the left where it is alone
    hand_pose: Float[np.ndarray, "2 48"] | None = None  # of a network of angles: axis-angle, flat mean
    hand_shape: Float[np.ndarray, "10"] | None = None
    joint_confidence: Float[np.ndarray, "2 21"] | None = None  # of a network with a map of each joint
    finder_probability: Float[np.ndarray, "2"] | None = None  # of a crop that was found; NaN of a hand that wasn't

    def __repr__(self) -> str:
        """Say which hands there are, in one line."""
        hands = ", ".join(f"{name} {p:.2f}" for name, p in zip(HAND_NAMES, self.hand_probability, strict=True))
        return f"Prediction({hands}; box_px={np.round(self.box_px).astype(int).tolist()}, {self.box_source})"

    @property
    def num_object_keypoints(self) -> int:
        """How many keypoints are taken for an object: without any, the object's pose means nothing."""
        return int((self.keypoint_class == OBJECT_CLASS).sum())


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Predicts photos one after the other; compiled once, with the first one."""

    experiment: Experiment
    step: int
    run: Callable[[UInt8[Array, "b h w 3"], Float[Array, "b 3 3"]], Pose]
    find: Callable[[UInt8[Array, "b h w 3"]], HandCells] | None = None  # of a network with a finder
    rule: FindingRule = dataclasses.field(default_factory=FindingRule)

    def __call__(self, image: Image, *, focal_px: float | None = None) -> list[Prediction]:
        """Predict all hands of a photo; see `predict_photo`."""
        return self.predict_photo(Photo.of(image), None, focal_px)

    def predict_photo(self, photo: "Photo", box: Box | None, focal_px: float | None = None) -> list[Prediction]:
        """Predict the hands in a box, or all that are found, or without a finder what fills the photo.

        What is found is looked at closely, and is a hand where that confirms it. A crop around one found hand speaks of
        that hand alone: of right and left the likelier one. Hands that touch get a crop that they share.

        Raises:
            ValueError: as `predict`.
        """
        if box is not None or self.find is None:
            return [self.predict(photo, box, focal_px)]
        view, geometry = finder_view(photo.pixels)
        cells = jax.device_get(self.find(jnp.asarray(view[None])))
        found = found_hands(cells, geometry, self.rule.least_probability)
        alone = self._confirmed({hand: self._predict_found(photo, (hand,), focal_px) for hand in found})
        return [
            alone[hands[0]] if len(hands) == 1 else self._predict_found(photo, hands, focal_px)
            for hands in groups(list(alone))
        ]

    def _confirmed(self, predictions: dict[FoundHand, Prediction]) -> dict[FoundHand, Prediction]:
        looks = []
        for hand, said in predictions.items():
            side = said.hand_probability.argmax()
            confidence = None if said.joint_confidence is None else said.joint_confidence[side]
            looks.append(Look(hand.box_px, said.joints_px[side], confidence))
        kept = set(confirmed(looks, self.rule))
        return {hand: said for i, (hand, said) in enumerate(predictions.items()) if i in kept}

    def predict(self, photo: "Photo", box: Box | None = None, focal_px: float | None = None) -> Prediction:
        """Predict one crop of a photo.

        Args:
            photo: what is looked at.
            box: around the hand or hands (and the object), px of the photo; the whole photo by default.
            focal_px: of the camera, px of the photo; what its EXIF data say, or a guess, by default.

        Raises:
            ValueError: the photo or the part in the box is too small to show a hand, or the network's answer isn't
                finite.
        """
        height, width = photo.pixels.shape[:2]
        focal = focal_length(photo.encoded, width, height, focal_px)
        example = photo_example(photo.encoded, photo.pixels, photo.name, box, focal.px, self.experiment.data.box_scale)
        data = dataclasses.replace(self.experiment.data, box_source="stored")
        if box is None:  # the whole photo needs no padding
            data = dataclasses.replace(data, box_pad_px=0.0)
        fields = crop_example(example, data, self.experiment.model.heatmap_stride, photo.pixels)
        pose = self.run(jnp.asarray(fields["image"][None]), jnp.asarray(fields["intrinsics"][None]))
        values = _of_the_only_one(pose)
        if not all(np.isfinite(values[field]).all() for field in ALWAYS_FINITE):
            raise ValueError(f"the network's answer for {photo.name} is not finite; its weights are damaged")
        return Prediction(
            photo=photo.pixels,
            box_px=np.array(box or (0, 0, width, height), np.float64),
            box_source="whole photo" if box is None else "given",
            intrinsics=example["intrinsics"],
            focal_source=focal.source,
            **_in_photo(values, fields),
        )

    def _predict_found(self, photo: "Photo", hands: Sequence[FoundHand], focal_px: float | None) -> Prediction:
        prediction = self.predict(photo, common_box(hands), focal_px)
        probability, found = prediction.hand_probability, np.full(NUM_HANDS, np.nan)
        if len(hands) == 1:  # the crop tells its side better than the finder
            found[probability.argmax()] = hands[0].probability
            probability = np.where(np.isnan(found), 0.0, probability)
        else:
            found[[hand.hand for hand in hands]] = [hand.probability for hand in hands]
        return dataclasses.replace(
            prediction, box_source="found", hand_probability=probability, finder_probability=found
        )


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo that has been read."""

    pixels: UInt8[np.ndarray, "h w 3"]
    name: str  # for messages
    encoded: bytes = b""  # the file's content, if there is one

    @classmethod
    def of(cls, image: Image, name: str = "the photo") -> "Photo":
        """Read a photo.

        Raises:
            ValueError: it isn't a whole image.
            OSError: there is no such file.
        """
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"{name} has {image.dtype} of shape {image.shape}; give uint8 [height, width, 3], RGB")
            return cls(image, name)
        if not isinstance(image, bytes):
            return cls.of(read_bytes(path_of(os.fspath(image))), str(image))
        refuse_truncated(image, name=name)
        return cls(decode_image(image, name=name), name, image)


def load_predictor(
    checkpoint: AnyPath | str | None = None, step: int | None = None, hand_model: str = MANO_FOLDER
) -> Predictor:
    """Return the network in the box, or that of a run or a file.

    Args:
        checkpoint: workdir of a run, whose newest checkpoint is taken; the folder of one of its checkpoints; or a
            network's file (`tools.pack_model`). By default the network that comes with this package.
        step: of the workdir.
        hand_model: folder of MANO's files, which a network of MANO's angles needs.

    Raises:
        ValueError: there is no such checkpoint, it is damaged, or MANO's files are missing.
    """
    network = read_network(checkpoint, step, hand_model)
    variables = jax.device_put(network.variables)
    compiled = functools.partial(fast_jit, platform=jax.default_backend(), xla_flags=network.experiment.xla_flags)
    programs = {
        name: functools.partial(compiled(function), variables) for name, function in traced_programs(network).items()
    }
    return Predictor(network.experiment, network.step, programs["pose"], programs.get("cells"))


def photo_example(
    encoded: bytes, photo: UInt8[np.ndarray, "h w 3"], name: str, box: Box | None, focal_px: float, scale: float
) -> Example:
    """Return a photo in the form in which datasets are stored, without labels.

    Args:
        encoded: the file's content.
        photo: its pixels.
        name: its key.
        box: around the hands; by default one that makes the crop, which is `scale` times larger, the whole photo.
        focal_px: of its camera.
        scale: side of the crop over the box's long side.

    Raises:
        ValueError: the box shows nothing of the photo.
    """
    height, width = photo.shape[:2]
    if min(height, width) < LEAST_PX:
        raise ValueError(f"{name} has {width} x {height} px, too few to show a hand")
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    if box is None:
        half = max(width, height) / scale / 2
        box = (center_x - half, center_y - half, center_x + half, center_y + half)
    else:
        check_box(box, width, height, name)
    intrinsics = [[focal_px, 0, center_x], [0, focal_px, center_y], [0, 0, 1]]
    return empty_example() | {
        "image": encoded,
        "key": name,
        "height": np.int32(height),
        "width": np.int32(width),
        "intrinsics": np.array(intrinsics, np.float32),
        "box_px": np.array(box, np.float32),
        "box_known": np.uint8(1),
    }


def _of_the_only_one(pose: Pose) -> dict[str, np.ndarray]:
    """Return the fields that there are, without the batch axis."""
    fields = {field.name: getattr(pose, field.name) for field in dataclasses.fields(Pose)}
    return {name: np.asarray(values)[0] for name, values in fields.items() if values is not None}


def _in_photo(values: dict[str, np.ndarray], fields: Fields) -> dict[str, np.ndarray]:
    """Return a pose with its pixels moved from the crop to the photo. The camera frame is the photo's already."""
    crop_from_image = fields["crop_from_image"].astype(np.float64)
    image_from_crop = invert_affine(crop_from_image)
    crop_px_per_px = math.sqrt(abs(np.linalg.det(crop_from_image[:, :2])))
    valid: Bool[np.ndarray, " t"] = values.pop("keypoint_valid")
    del values["root_cam_m"]  # the wrist of joints_cam_m
    return values | {
        "joints_px": transform_points(image_from_crop, values["joints_px"].astype(np.float64)),
        "keypoints_px": transform_points(image_from_crop, values["keypoints_px"][valid].astype(np.float64)),
        "keypoint_class": values["keypoint_class"][valid],
        "root_fit_error_px": values["root_fit_error_px"] / crop_px_per_px,
    }

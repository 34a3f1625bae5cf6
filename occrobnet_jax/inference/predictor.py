"""A trained network, ready for photos that are in no dataset."""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from input_pipeline.labels import Fields
from input_pipeline.schema import Example, empty_example
from input_pipeline.transforms import crop_example
from occrobnet_jax.files.image_header import refuse_truncated
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.geometry.cameras import invert_affine, transform_points
from occrobnet_jax.inference.inputs import LEAST_PX, Box, check_box, check_focal_px
from occrobnet_jax.models.decode import decode
from occrobnet_jax.parallel.compiler import fast_programs
from occrobnet_jax.runs.config import MANO_FOLDER, foreign_experiment
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.restore import check_variables, restore_for_inference
from occrobnet_jax.skeleton import NUM_JOINTS
from occrobnet_jax.types import Pose, Predictions

GUESSED_FOCAL_LENGTH = 1.0
"""Of the photo's long side, where the user gives none: a field of view of 53 degrees, between a phone's main camera
(about 0.75) and a webcam or a cropped photo. Depth is proportional to it, root-relative joints hardly depend on it."""

ALWAYS_FINITE = ("joints_cam_m", "joints_px", "hand_probability", "relative_translation_m")
OBJECT_CLASS = 2 * NUM_JOINTS + 1


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says about one photo; pixels are the photo's, metres are in its camera frame (OpenCV axes)."""

    photo: UInt8[np.ndarray, "h w 3"]
    box_px: Float[np.ndarray, "4"]  # x0, y0, x1, y1, as given or all of the photo
    is_whole_photo: bool
    intrinsics: Float[np.ndarray, "3 3"]
    is_focal_guessed: bool
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

    @property
    def num_object_keypoints(self) -> int:
        """How many keypoints are taken for an object: without any, the object's pose means nothing."""
        return int((self.keypoint_class == OBJECT_CLASS).sum())


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Predicts one photo after the other; compiled once, with the first one."""

    experiment: Experiment
    step: int
    run: Callable[[UInt8[Array, "b h w 3"], Float[Array, "b 3 3"]], Pose]

    def predict(self, encoded: bytes, name: str, box: Box | None = None, focal_px: float | None = None) -> Prediction:
        """Predict the hands in a photo.

        Args:
            encoded: the file's content.
            name: for error messages.
            box: around the hand or hands (and the object), px of the photo; the whole photo by default.
            focal_px: of the camera, px of the photo.

        Raises:
            ValueError: the file isn't a whole image, it or the part in the box is too small to show a hand, or the
                network's answer isn't finite.
        """
        refuse_truncated(encoded, name=name)
        photo = decode_image(encoded, name=name)
        example = photo_example(encoded, photo, name, box, focal_px, self.experiment.data.box_scale)
        data = dataclasses.replace(self.experiment.data, box_source="stored")
        if box is None:  # the whole photo needs no padding
            data = dataclasses.replace(data, box_pad_px=0.0)
        fields = crop_example(example, data, self.experiment.model.heatmap_stride, photo)
        pose = self.run(jnp.asarray(fields["image"][None]), jnp.asarray(fields["intrinsics"][None]))
        values = _of_the_only_one(pose)
        if not all(np.isfinite(values[field]).all() for field in ALWAYS_FINITE):
            raise ValueError(f"the network's answer for {name} is not finite; its weights are damaged")
        return Prediction(
            photo=photo,
            box_px=np.array(box or (0, 0, photo.shape[1], photo.shape[0]), np.float64),
            is_whole_photo=box is None,
            intrinsics=example["intrinsics"],
            is_focal_guessed=focal_px is None,
            **_in_photo(values, fields),
        )


def load_predictor(checkpoint: AnyPath, step: int | None = None, hand_model: str = MANO_FOLDER) -> Predictor:
    """Return the network of a run's newest checkpoint, or of that of `step`.

    Args:
        checkpoint: workdir of the run, or the folder of one of its checkpoints.
        step: of the workdir.
        hand_model: folder of MANO's files, which a network of MANO's angles needs.

    Raises:
        ValueError: there is no such checkpoint, it is damaged, or MANO's files are missing.
    """
    if checkpoint.suffix.lower() == ".safetensors":
        raise ValueError(f"--checkpoint={checkpoint}: such files can't be read yet; name the workdir of a run")
    restored = restore_for_inference(checkpoint, step)
    experiment = foreign_experiment(restored.config, hand_model)
    model, size_px = make_model(experiment), experiment.data.input_size_px
    check_variables(model, size_px, restored, checkpoint)

    @functools.partial(jax.jit, compiler_options=fast_programs(jax.default_backend(), experiment.xla_flags))
    def run(variables: dict, image: UInt8[Array, "b h w 3"], intrinsics: Float[Array, "b 3 3"]) -> Pose:
        predictions = typing.cast(Predictions, model.apply(variables, image, train=False))
        return decode(predictions, intrinsics, size_px, experiment.model)

    return Predictor(experiment, restored.step, lambda image, intrinsics: run(restored.variables, image, intrinsics))


def photo_example(
    encoded: bytes, photo: UInt8[np.ndarray, "h w 3"], name: str, box: Box | None, focal_px: float | None, scale: float
) -> Example:
    """Return a photo in the form in which datasets are stored, without labels.

    Args:
        encoded: the file's content.
        photo: its pixels.
        name: its key.
        box: around the hands; by default one that makes the crop, which is `scale` times larger, the whole photo.
        focal_px: guessed by default.
        scale: side of the crop over the box's long side.

    Raises:
        ValueError: the box shows nothing of the photo, or the focal length is none.
    """
    height, width = photo.shape[:2]
    if min(height, width) < LEAST_PX:
        raise ValueError(f"{name} has {width} x {height} px, too few to show a hand")
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    if box is None:
        half = max(width, height) / scale / 2
        box = (centre_x - half, centre_y - half, centre_x + half, centre_y + half)
    else:
        check_box(box, width, height, name)
    check_focal_px(focal_px)
    focal = GUESSED_FOCAL_LENGTH * max(width, height) if focal_px is None else focal_px
    intrinsics = [[focal, 0, centre_x], [0, focal, centre_y], [0, 0, 1]]
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
    return {name: values[0] for name, values in jax.device_get(fields).items() if values is not None}


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

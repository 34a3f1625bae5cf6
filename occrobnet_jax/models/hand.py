"""From predicted rotations and shape to joints, through the hand that the config names: MANO or the embedded one."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from occrobnet_jax.files.paths import local_path_of
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotation_6d_to_matrix
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.hands.hand_model import HandModel
from occrobnet_jax.hands.mano_model import load_mano
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.skeleton import NUM_HANDS

IDENTITY_6D = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""What 6D rotations are predicted relative to, so that a head that says nothing is the hand at rest."""


class Hands(NamedTuple):
    """Right and left hand, and the pose of their fingers that axis-angle vectors "from the mean" are added to."""

    models: tuple[HandModel, HandModel]
    mean_pose: Float[np.ndarray, "2 45"]


@functools.cache
def load_hands(folder: str, joints: str) -> Hands:
    """Return the hands of `model.hand_model` and `model.hand_joints`.

    Raises:
        ValueError: the folder has no MANO files, or damaged ones.
    """
    if not folder:
        return Hands(load_hand().models, np.zeros((NUM_HANDS, 45)))
    try:
        mano = load_mano(local_path_of(folder), joints)
    except ValueError as error:
        raise ValueError(f"model.hand_model={folder!r}: {error}") from error
    return Hands(mano.models, mano.mean_pose)


def rotation_size(config: ModelConfig) -> int:
    """Return numbers that one rotation is predicted as."""
    return len(IDENTITY_6D) if config.rotation_form == "6d" else 3


def rotation_matrices(rotations: Float[Array, "*b n k r"], config: ModelConfig) -> Float[Array, "*b n k 3 3"]:
    """Return rotation of each posed joint, of the whole hand first; fingers from the flat hand."""
    if config.rotation_form == "6d":
        identity = jnp.broadcast_to(jnp.array(IDENTITY_6D), rotations.shape)
        return rotation_6d_to_matrix(rotations + identity)
    return axis_angle_to_matrix(flat_axis_angle(rotations, config))


def flat_axis_angle(rotations: Float[Array, "*b n k r"], config: ModelConfig) -> Float[Array, "*b n k 3"]:
    """Return the same as axis-angle vectors."""
    if config.rotation_form == "6d":
        return matrix_to_axis_angle(rotation_matrices(rotations, config))
    if config.rotation_form == "axis_angle":
        return rotations
    fingers = load_hands(config.hand_model, config.hand_joints).mean_pose.reshape(NUM_HANDS, -1, 3)
    mean = np.pad(fingers, ((0, 0), (1, 0), (0, 0)))  # none for the whole hand
    return rotations + jnp.broadcast_to(jnp.asarray(mean, rotations.dtype), rotations.shape)


def posed_joints_rel_m(
    rotations: Float[Array, "l b n k r"], shape: Float[Array, "l b s"], config: ModelConfig
) -> Float[Array, "l b n 21 3"]:
    """Return the joints of both hands, each relative to its own wrist, camera axes.

    Raises:
        ValueError: see `load_hands`.
    """
    models = load_hands(config.hand_model, config.hand_joints).models
    layers, batch = rotations.shape[:2]
    # One leading axis only: XLA's CPU compiler fails on small matrix products with several (jaxlib 0.10.2). Examples
    # come first in it, so that it stays split over devices as they are.
    turned = _examples_first(rotation_matrices(rotations, config))
    shapes = _examples_first(shape)
    with jax.default_matmul_precision("highest"):
        joints = [model.turned_joints_m(turned[:, hand], shapes) for hand, model in enumerate(models)]
    joints_rel_m = root_relative(jnp.stack(joints, axis=1))
    return joints_rel_m.reshape(batch, layers, *joints_rel_m.shape[1:]).swapaxes(0, 1)


def _examples_first(values: Float[Array, "l b *rest"]) -> Float[Array, "bl *rest"]:
    return values.swapaxes(0, 1).reshape(-1, *values.shape[2:])

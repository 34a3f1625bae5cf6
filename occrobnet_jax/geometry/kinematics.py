"""Between joints and bones: differences to the parent joint, and their sums along the fingers.

Works on NumPy and jnp arrays alike.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from occrobnet_jax.skeleton import FINGERS, JOINTS_PER_FINGER, PARENTS, WRIST

PARENTS_OF_BONES = np.array(PARENTS[:WRIST])
"""Parent joint of each of `skeleton.BONES`; bone i ends at joint i."""


def bone_vectors(joints: Float[Any, "*batch 21 d"]) -> Float[Any, "*batch 20 d"]:
    """Return each bone's vector from parent to child, in the order of `skeleton.BONES`."""
    return joints[..., :WRIST, :] - joints[..., PARENTS_OF_BONES, :]


def accumulate_bones(vectors: Float[Any, "*batch 20 d"]) -> Float[Any, "*batch 21 d"]:
    """Return joints relative to the wrist from parent-to-child vectors; inverse of `bone_vectors` up to the wrist's
    place.
    """
    xp = vectors.__array_namespace__()
    leading, dimensions = vectors.shape[:-2], vectors.shape[-1]
    tip_to_base = xp.reshape(vectors, (*leading, len(FINGERS), JOINTS_PER_FINGER, dimensions))
    from_wrist = xp.flip(xp.cumulative_sum(xp.flip(tip_to_base, axis=-2), axis=-2), axis=-2)
    joints = xp.reshape(from_wrist, (*leading, WRIST, dimensions))
    return xp.concat([joints, xp.zeros_like(joints[..., :1, :])], axis=-2)


def bone_depths(depths: Float[Any, "*batch 21"]) -> Float[Any, "*batch 20"]:
    """Return the depth of each joint but the wrist, relative to its parent."""
    return bone_vectors(depths[..., None])[..., 0]


def accumulate_depths(bone_depths: Float[Any, "*batch 20"]) -> Float[Any, "*batch 21"]:
    """Return depths relative to the wrist, from depths relative to the parent."""
    return accumulate_bones(bone_depths[..., None])[..., 0]

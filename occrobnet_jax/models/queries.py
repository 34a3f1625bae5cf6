"""The decoder's queries: how many a representation has, in which order, and what each may see.

Order (KypT): the right hand's joints, the left hand's, the camera query, then object rotation and translation.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS, POSED_JOINTS, WRIST, finger_of
from occrobnet_jax.types import Keypoints


@dataclasses.dataclass(frozen=True)
class QueryLayout:
    """Where each query stands; `object_rotation` and `object_translation` are -1 without object."""

    joint_groups: tuple[str, ...]  # of one hand's queries: those of a group see each other; those of "all" everything
    with_object: bool
    hands_see_object: bool = False  # whether hand and camera queries see the object's too

    @classmethod
    def of(cls, config: ModelConfig) -> "QueryLayout":
        """Return the layout of a representation: 21 joints in 2.5D, their 20 vectors, or the 16 joints that a pose
        turns.
        """
        if config.representation == "angles":
            return cls(tuple(joint.rstrip("123") for joint in POSED_JOINTS), config.with_object, config.with_object)
        fingers = [finger_of(joint) for joint in range(WRIST)]
        wrist = ["all"] if config.representation == "2.5d" else []
        return cls((*fingers, *wrist), config.with_object)

    @property
    def joints_per_hand(self) -> int:
        """Queries of one hand."""
        return len(self.joint_groups)

    @property
    def joints(self) -> slice:
        """The joint queries of both hands."""
        return slice(0, NUM_HANDS * self.joints_per_hand)

    @property
    def camera(self) -> int:
        """The query of relative translation and weak camera."""
        return self.joints.stop

    @property
    def object_rotation(self) -> int:
        """The query of the object's rotation."""
        return self.camera + 1 if self.with_object else -1

    @property
    def object_translation(self) -> int:
        """The query of the object's translation."""
        return self.camera + 2 if self.with_object else -1

    @property
    def size(self) -> int:
        """How many queries there are."""
        return self.camera + (3 if self.with_object else 1)

    def query_mask(self) -> Bool[np.ndarray, "q q"]:
        """Return which queries (columns) each query (row) sees.

        A finger's queries see that finger only, the camera query itself only; 2.5D's wrists and the object see
        everything. In angles the rotation of a whole hand sees itself only, and all of these see the object's queries.
        """
        group = [(hand, name) for hand in range(NUM_HANDS) for name in self.joint_groups]
        mask = np.ones((self.size, self.size), bool)
        for row, (hand, name) in enumerate(group):
            if name != "all":
                mask[row] = [i < len(group) and group[i] == (hand, name) for i in range(self.size)]
        mask[self.camera] = np.arange(self.size) == self.camera
        if self.hands_see_object:
            mask[:, [self.object_rotation, self.object_translation]] = True
        return mask

    def start(self, tokens: Float[Array, "b t d"]) -> Float[Array, "b q d"]:
        """Return each joint's own token for its query, zeros for the others, where tokens are those of the joints."""
        b, width = len(tokens), tokens.shape[-1]
        of_hands = tokens[:, : NUM_HANDS * NUM_JOINTS].reshape(b, NUM_HANDS, NUM_JOINTS, width)
        of_queries = of_hands[:, :, : self.joints_per_hand].reshape(b, -1, width)
        return jnp.pad(of_queries, ((0, 0), (0, self.size - of_queries.shape[1]), (0, 0)))

    def memory_mask(self, keypoints: Keypoints) -> Bool[Array, "b q t"]:
        """Return which tokens each query sees: the object's rotation its own tokens only, if there are any, the rest
        all.

        Where no slot holds a keypoint those for joints are let through, so that no softmax runs over nothing.
        """
        valid = attendable(keypoints)
        if not self.with_object:
            return jnp.broadcast_to(valid[:, None], (valid.shape[0], self.size, valid.shape[1]))
        things = keypoints.valid & keypoints.is_object
        things = jnp.where(things.any(-1, keepdims=True), things, valid)
        is_rotation = jnp.arange(self.size)[None, :, None] == self.object_rotation
        return jnp.where(is_rotation, things[:, None], valid[:, None])


def attendable(keypoints: Keypoints) -> Bool[Array, "b t"]:
    """Return the tokens that attention may see: the valid ones, or where an example has none those for joints
    (KypT).
    """
    return keypoints.valid | (~keypoints.valid.any(-1, keepdims=True) & ~keypoints.is_object)

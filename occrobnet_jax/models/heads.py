"""What is read off the decoder's queries, the encoder's tokens and the backbone: small MLPs, shared over layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import initializers
from jaxtyping import Array, Float

from occrobnet_jax.geometry.kinematics import bone_vectors
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.hand import posed_joints_rel_m, rotation_size
from occrobnet_jax.models.layers import Mlp, layer_norm, small_normal
from occrobnet_jax.models.queries import QueryLayout
from occrobnet_jax.skeleton import FINGERS, INTERHAND, NUM_HANDS, NUM_JOINTS, POSED_JOINTS, WRIST, permutation

SHAPE_NUMBERS = 10

_ENDS = np.array([POSED_JOINTS.index(f"{finger}3") for finger in FINGERS])
_TIPS = tuple(f"{finger}4" for finger in FINGERS)
_JOINTS_OF_ANGLES = np.array(permutation(POSED_JOINTS + _TIPS, INTERHAND))


class ClassHead(nn.Module):
    """Which joint of which hand a token is; `model.token_classifier` says in which form (see Predictions)."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "layers b t d"]) -> dict[str, Any]:
        """Return the fields of Predictions that say what each token is, of every encoder layer.

        The LayerNorm is for this head only (KypT).
        """
        classes = self.config.num_classes
        hands = NUM_HANDS if self.config.token_classifier == "joint_and_hands" else 0
        normed = layer_norm("norm", self.dtype)(tokens)
        logits = Mlp(self.config.class_mlp, classes + hands, dtype=self.dtype, name="mlp")(normed).astype(jnp.float32)
        return {
            "class_logits": logits[..., :classes],
            "token_hand_logits": logits[..., classes:] if hands else None,
        }


class HandHead(nn.Module):
    """Which hands are in the picture, from the mean of the backbone's last map."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, last_map: Float[Array, "b h w c"]) -> Float[Array, "b n"]:
        """Return the logits (right, left)."""
        pooled = last_map.mean((1, 2))
        hidden = (pooled.shape[-1] // 4,)
        return Mlp(hidden, NUM_HANDS, dtype=self.dtype, name="mlp")(pooled).astype(jnp.float32)


class PoseHeads(nn.Module):
    """Hand pose, relative translation, object pose and visibility from the queries of every decoder layer."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, decoded: Float[Array, "layers b q d"], located: Float[Array, "b nj 2"] | None = None
    ) -> dict[str, Any]:
        """Return the fields of Predictions that come from queries.

        Args:
            decoded: the queries after each layer.
            located: where the joints' own maps have them, shares of the crop's sides: 2D joints start from there.
        """
        layout = QueryLayout.of(self.config)
        joints, camera = decoded[:, :, layout.joints], decoded[:, :, layout.camera]
        outputs: dict[str, Any] = {"relative_translation_m": self._mlp("relative_translation", camera, 3)}
        outputs |= self._hands(joints, camera)
        outputs |= self._two_dimensional(joints, camera, located)
        outputs |= self._object(decoded, layout)
        outputs["visibility_logits"] = None
        if self.config.visibility_head:
            outputs["visibility_logits"] = self._per_joint("visibility", joints, camera, 1)[..., 0]
        return outputs

    def _hands(self, joints: Array, camera: Array) -> dict[str, Any]:
        """Return what the representation says of both hands."""
        outputs = dict.fromkeys(("axis_heatmaps", "bone_vectors_m", "hand_rotations", "hand_shape"))
        if self.config.representation == "2.5d":
            return outputs | self._axis_heatmaps(joints)
        if self.config.representation == "angles":
            return outputs | self._angles(joints, camera)
        vectors = self._mlp("vectors", joints, 3)
        return outputs | {"bone_vectors_m": vectors.reshape(*vectors.shape[:2], NUM_HANDS, WRIST, 3)}

    def _angles(self, joints: Array, camera: Array) -> dict[str, Any]:
        """Return rotations and shape, and the bones of the hand that they pose."""
        rotations = self._mlp("rotations", joints, rotation_size(self.config))
        rotations = rotations.reshape(*rotations.shape[:2], NUM_HANDS, -1, rotations.shape[-1])
        shape = self._mlp("shape", camera, SHAPE_NUMBERS)
        with jax.named_scope("hand_model"):
            joints_rel_m = posed_joints_rel_m(rotations, shape, self.config)
        return {"hand_rotations": rotations, "hand_shape": shape, "bone_vectors_m": bone_vectors(joints_rel_m)}

    def _axis_heatmaps(self, joints: Float[Array, "layers b q d"]) -> dict[str, Any]:
        axes = [self._mlp(f"heatmap_{axis}", joints, self.config.bins) for axis in ("x", "y", "depth")]
        maps = jnp.stack(axes, axis=3)
        return {"axis_heatmaps": maps.reshape(*maps.shape[:2], NUM_HANDS, -1, *maps.shape[3:])}

    def _two_dimensional(self, joints: Array, camera: Array, located: Array | None) -> dict[str, Any]:
        """Predict 2D joints beside vectors and angles; 2.5D needs neither, its heatmaps are in pixels."""
        in_3d = self.config.representation != "2.5d"
        joints_crop = weak_camera = None
        if in_3d and self.config.joints_2d_head:
            start = 0.5 if located is None else located.reshape(1, -1, NUM_HANDS, NUM_JOINTS, 2)
            joints_crop = start + self._per_joint("joints_2d", joints, camera, 2)
        if in_3d and self.config.weak_camera_head:
            weak_camera = self._mlp("weak_camera", camera, 3)
        return {"joints_crop": joints_crop, "weak_camera": weak_camera}

    def _object(self, decoded: Float[Array, "layers b q d"], layout: QueryLayout) -> dict[str, Any]:
        if not self.config.with_object:
            return {"object_rotation_6d": None, "object_translation_m": None}
        translation = decoded[:, :, layout.object_translation]
        roots = ["object_translation", "object_left_translation"][: 1 + self.config.left_object_translation]
        return {
            "object_rotation_6d": self._mlp("object_rotation", decoded[:, :, layout.object_rotation], 6),
            "object_translation_m": jnp.stack([self._mlp(name, translation, 3) for name in roots], axis=2),
        }

    def _per_joint(self, name: str, joints: Array, camera: Array, features: int) -> Float[Array, "layers b n j f"]:
        """Return one output a joint.

        In "vectors" the wrist has no query, so that the camera query speaks for both wrists; in "angles" the tips have
        none, so that a finger's last joint speaks for its tip too.
        """
        per_joint = self._mlp(name, joints, features)
        per_joint = per_joint.reshape(*joints.shape[:2], NUM_HANDS, -1, features)
        if self.config.representation == "2.5d":
            return per_joint
        if self.config.representation == "angles":
            by_hand = joints.reshape(*joints.shape[:2], NUM_HANDS, len(POSED_JOINTS), -1)
            tips = self._mlp(f"{name}_tip", by_hand[:, :, :, _ENDS], features)
            return jnp.concatenate([per_joint, tips], axis=3)[:, :, :, _JOINTS_OF_ANGLES]
        wrists = self._mlp(f"{name}_wrist", camera, NUM_HANDS * features)
        return jnp.concatenate([per_joint, wrists.reshape(*joints.shape[:2], NUM_HANDS, 1, features)], axis=3)

    def _mlp(self, name: str, x: Float[Array, "*b d"], features: int) -> Float[Array, "*b f"]:
        init = initializers.lecun_normal() if name == "object_rotation" else small_normal
        mlp = Mlp(self.config.head_mlp, features, dtype=self.dtype, final_init=init, name=name)
        return mlp(x).astype(jnp.float32)

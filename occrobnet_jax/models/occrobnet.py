"""OccRobNet: one RGB image in, the pose of two hands and of the object they hold out (arXiv 2503.21723)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from occrobnet_jax.models.backbone import make_backbone, normalized
from occrobnet_jax.models.ciet import Ciet, Enhanced, TokenCiet
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.finder import FinderHead
from occrobnet_jax.models.heads import ClassHead, HandHead, PoseHeads
from occrobnet_jax.models.joint_maps import Located, locate
from occrobnet_jax.models.keypoints import select_keypoints
from occrobnet_jax.models.layers import normal_or_he
from occrobnet_jax.models.neck import (
    FeaturePyramid,
    FinestLevel,
    MapHead,
    Maps,
    Pyramid,
    RebuiltPyramid,
    UNet,
    map_head_widths,
)
from occrobnet_jax.models.ops.pooling import average_pool
from occrobnet_jax.models.queries import QueryLayout, attendable
from occrobnet_jax.models.remat import apply_block
from occrobnet_jax.models.tokens import Tokens
from occrobnet_jax.models.transformer import Decoder, Encoder
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS
from occrobnet_jax.types import HandCells, Keypoints, Predictions

JOINT_MAP_GAIN = 16.0  # on the outputs of joint maps, whose logits must differ by ten and more [ours]


class OccRobNet(nn.Module):
    """The network. Every published and unpublished choice is a field of `config`; `dtype` is that of computation."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        image: UInt8[Array, "b h w 3"],
        *,
        train: bool,
        forced: Keypoints | None = None,
        use_forced: Bool[Array, " b"] | None = None,
    ) -> Predictions:
        """Predict pose from an image.

        Args:
            image: RGB crop; width and height are multiples of 32.
            train: batch statistics, unless they are frozen, and dropout.
            forced: keypoints to use instead of detected ones (teacher forcing).
            use_forced: the examples that use them, all by default; may change from step to step without recompilation.
        """
        config = self.config
        taps = make_backbone(config, self.dtype)(normalized(image, config, self.dtype), train=train)
        train_norms = train and config.batch_norm != "all_frozen"
        levels, gates, cells = self._levels(taps, train=train_norms)
        maps = self._maps(levels[0], train=train_norms)
        located = None if maps["joint_maps"] is None else locate(maps["joint_maps"])
        with jax.named_scope("keypoints"):
            keypoints = self._keypoints(maps, located, forced, use_forced)

        map_size = (levels[0].shape[2], levels[0].shape[1])
        tokens = Tokens(config, self.dtype, name="tokens")(levels, keypoints, map_size)
        if config.ciet_on == "tokens":
            ciet = TokenCiet(config, self.dtype, name="ciet")
            tokens, gates = ciet(tokens, attendable(keypoints), train=train)
        encoded = Encoder(config, self.dtype, name="encoder")(tokens, attendable(keypoints), train=train)
        layout = QueryLayout.of(config)
        start = layout.start(encoded[-1]) if config.decoder_start == "tokens" else None
        decoded = Decoder(config, self.dtype, name="decoder")(
            encoded[-1], jnp.asarray(layout.query_mask()), layout.memory_mask(keypoints), start, train=train
        )
        return Predictions(
            **maps,
            hand_cells=cells,
            keypoints=keypoints,
            hand_logits=HandHead(self.dtype, name="hand_head")(taps[-1]),
            saturated_gates=gates,
            **ClassHead(config, self.dtype, name="class_head")(encoded),
            **PoseHeads(config, self.dtype, name="pose_heads")(decoded, _in_crop(located, map_size)),
        )

    def _levels(self, taps: Maps, *, train: bool) -> tuple[Maps, Float[Array, ""], HandCells | None]:
        """Apply neck and CIET; return the levels that tokens see, finest first, the share of CIET's saturated gates,
        and the finder's cells.
        """
        config = self.config
        if config.neck != "fpn":
            return UNet(config, self.dtype, name="unet")(taps, train=train), jnp.zeros(()), None
        pyramid = FeaturePyramid(config.neck_channels, self.dtype, name="fpn")(taps)
        cells = None
        if config.finder_head:
            cells = FinderHead(self.dtype, name="finder_head")(pyramid.p3, train=train)
        enhanced = self._enhance(pyramid, train=train)
        rebuilt = RebuiltPyramid(config, self.dtype, name="rebuilt")(enhanced.features, pyramid)
        p2 = rebuilt.p2 if config.localise_from == "ciet" else pyramid.p2
        block = FinestLevel(config, self.dtype, name="finest")
        finest = apply_block(config.remat, block, p2, taps[0], train=train)
        return (finest, rebuilt.p2, rebuilt.p3, rebuilt.p4, rebuilt.p5), enhanced.saturated_gates, cells

    def _enhance(self, pyramid: Pyramid, *, train: bool) -> Enhanced:
        features = average_pool(pyramid.p2, self.config.ciet_stride // 4)
        if self.config.ciet_on == "tokens":
            return Enhanced(features, jnp.zeros(()))
        return Ciet(self.config, self.dtype, name="ciet")(features, train=train)

    def _maps(self, finest: Float[Array, "b hh ww c"], *, train: bool) -> dict[str, Any]:
        """Return the fields of Predictions that are read off the finest level; None of those that the config lacks."""
        config = self.config

        def read(name: str, maps: int = 1, gain: float = config.heatmap_gain) -> Float[Array, "b hh ww maps"]:
            hidden = map_head_widths(config, finest.shape[-1])
            init = normal_or_he(config.neck_init_std)
            return MapHead(hidden, gain, maps, self.dtype, init, name=name)(finest, train=train)

        joints = NUM_HANDS * NUM_JOINTS
        return {
            "heatmap": read("heatmap_head")[..., 0],
            "object_map": read("object_head")[..., 0] if config.with_object else None,
            "hand_maps": read("hand_maps_head", NUM_HANDS) if config.hand_maps_head else None,
            "joint_maps": read("joint_maps_head", joints, JOINT_MAP_GAIN) if config.joint_maps_head else None,
        }

    def _keypoints(
        self,
        maps: dict[str, Any],
        located: Located | None,
        forced: Keypoints | None,
        use_forced: Bool[Array, " b"] | None,
    ) -> Keypoints:
        """Return the detected keypoints, or the forced ones; only what is asked for is computed."""

        def detected() -> Keypoints:
            return select_keypoints(maps["heatmap"], maps["object_map"], self.config, located)

        if forced is None:
            return detected()
        if use_forced is None:
            return forced

        def mixed() -> Keypoints:
            return _chosen(use_forced, forced, detected())

        return jax.lax.cond(use_forced.all(), lambda: forced, mixed)


def _in_crop(located: Located | None, map_size: tuple[int, int]) -> Float[Array, "b nj 2"] | None:
    """Return where the maps have the joints, as shares of the crop's sides; no gradient flows back to the maps."""
    if located is None:
        return None
    return jax.lax.stop_gradient(located.xy_hm) / jnp.array(map_size, jnp.float32)[None, None]


def _chosen(mask: Bool[Array, " b"], chosen: Keypoints, others: Keypoints) -> Keypoints:
    """Return `chosen` in the examples of the mask, `others` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), chosen, others)

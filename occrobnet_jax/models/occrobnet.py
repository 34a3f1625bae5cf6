"""OccRobNet: one RGB image in, the pose of two hands and of the object they hold out (arXiv 2503.21723)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from occrobnet_jax.models.backbone import make_backbone, normalized
from occrobnet_jax.models.ciet import Ciet, Enhanced, TokenCiet
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.heads import ClassHead, HandHead, PoseHeads
from occrobnet_jax.models.keypoints import select_keypoints
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
from occrobnet_jax.skeleton import NUM_HANDS
from occrobnet_jax.types import Keypoints, Predictions


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
        levels, gates = self._levels(taps, train=train_norms)

        heatmap = self._map_head("heatmap_head", levels[0], train=train_norms)[..., 0]
        object_map = hand_maps = None
        if config.with_object:
            object_map = self._map_head("object_head", levels[0], train=train_norms)[..., 0]
        if config.hand_maps_head:
            hand_maps = self._map_head("hand_maps_head", levels[0], maps=NUM_HANDS, train=train_norms)
        with jax.named_scope("keypoints"):
            keypoints = self._keypoints(heatmap, object_map, forced, use_forced)

        map_size = (heatmap.shape[2], heatmap.shape[1])
        tokens = Tokens(config, self.dtype, name="tokens")(levels, keypoints, map_size)
        if config.ciet_on == "tokens":
            ciet = TokenCiet(config, self.dtype, name="ciet")
            tokens, gates = ciet(tokens, attendable(keypoints), train=train)
        encoded = Encoder(config, self.dtype, name="encoder")(tokens, attendable(keypoints), train=train)
        layout = QueryLayout.of(config)
        decoded = Decoder(config, self.dtype, name="decoder")(
            encoded[-1], jnp.asarray(layout.query_mask()), layout.memory_mask(keypoints), train=train
        )
        return Predictions(
            heatmap=heatmap,
            object_map=object_map,
            hand_maps=hand_maps,
            keypoints=keypoints,
            hand_logits=HandHead(self.dtype, name="hand_head")(taps[-1]),
            saturated_gates=gates,
            **ClassHead(config, self.dtype, name="class_head")(encoded),
            **PoseHeads(config, self.dtype, name="pose_heads")(decoded),
        )

    def _levels(self, taps: Maps, *, train: bool) -> tuple[Maps, Float[Array, ""]]:
        """Neck, CIET, and the levels that tokens see, finest first; and the share of CIET's saturated gates."""
        config = self.config
        if config.neck != "fpn":
            return UNet(config, self.dtype, name="unet")(taps, train=train), jnp.zeros(())
        pyramid = FeaturePyramid(config.neck_channels, self.dtype, name="fpn")(taps)
        enhanced = self._enhance(pyramid, train=train)
        rebuilt = RebuiltPyramid(config, self.dtype, name="rebuilt")(enhanced.features, pyramid)
        p2 = rebuilt.p2 if config.localise_from == "ciet" else pyramid.p2
        block = FinestLevel(config, self.dtype, name="finest")
        finest = apply_block(config.remat, block, p2, taps[0], train=train)
        return (finest, rebuilt.p2, rebuilt.p3, rebuilt.p4, rebuilt.p5), enhanced.saturated_gates

    def _enhance(self, pyramid: Pyramid, *, train: bool) -> Enhanced:
        features = average_pool(pyramid.p2, self.config.ciet_stride // 4)
        return Ciet(self.config, self.dtype, name="ciet")(features, train=train)

    def _map_head(
        self, name: str, finest: Float[Array, "b hh ww c"], *, maps: int = 1, train: bool
    ) -> Float[Array, "b hh ww maps"]:
        hidden = map_head_widths(self.config, finest.shape[-1])
        return MapHead(hidden, self.config.heatmap_gain, maps, self.dtype, name=name)(finest, train=train)

    def _keypoints(
        self,
        heatmap: Array,
        object_map: Array | None,
        forced: Keypoints | None,
        use_forced: Bool[Array, " b"] | None,
    ) -> Keypoints:
        """Detected keypoints, or the forced ones; only what is asked for is computed."""
        if forced is None:
            return select_keypoints(heatmap, object_map, self.config)
        if use_forced is None:
            return forced

        def mixed() -> Keypoints:
            return _chosen(use_forced, forced, select_keypoints(heatmap, object_map, self.config))

        return jax.lax.cond(use_forced.all(), lambda: forced, mixed)


def _chosen(mask: Bool[Array, " b"], chosen: Keypoints, others: Keypoints) -> Keypoints:
    """`chosen` in the examples of the mask, `others` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), chosen, others)

"""CIET, the Contextual Information Enhancement Transformer: occluded regions draw on visible ones.

Known from the paper: a softmax attention gated by a sigmoid attention, between the feature pyramid and the
transformer. Everything else is HandOccNet's feature injection (FIT), each choice a field of ModelConfig.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from flax.linen import initializers
from jaxtyping import Array, Bool, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import BATCH_NORM_EPSILON, Conv, dense, layer_norm, normal_or_he
from occrobnet_jax.models.ops.attention import scaled_products, softmax_attention
from occrobnet_jax.models.ops.gelu import gelu
from occrobnet_jax.models.ops.gradient_sums import for_each_example
from occrobnet_jax.models.ops.products import row_products
from occrobnet_jax.models.remat import apply_block

SATURATED_LOGIT = 6.0  # beyond it a gate passes less than 0.25 % of its gradient

NEAR_ZERO = 1e-9  # far below the mean square of projections as they are drawn


@struct.dataclass
class Enhanced:
    """What CIET returns: the map, and how many of its gates no longer learn."""

    features: Float[Array, "b h w c"]
    saturated_gates: Float[Array, ""]


class SpatialGate(nn.Module):
    """Share of each position that is hand evidence, from the channels' maximum and mean (7 x 7 convolution)."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w 1"]:
        """Return the mask M in (0, 1); it gets no supervision of its own."""
        pooled = jnp.stack([x.max(-1), x.mean(-1)], axis=-1)
        logits = Conv(1, 7, dtype=self.dtype, name="conv")(pooled)
        norm = nn.BatchNorm(not train, momentum=0.99, epsilon=BATCH_NORM_EPSILON, dtype=self.dtype, name="norm")
        return nn.sigmoid(norm(logits))


class ProjectedProducts(nn.Module):
    """Scaled products of projected positions with one vector a head; no position is ever projected.

    The projection's transpose takes the vectors to the space of the positions: n products of d numbers a head instead
    of d times as many. The parameters are a linear layer's.
    """

    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], vectors: Float[Array, "b heads dh"]) -> Float[Array, "b heads n"]:
        """Return the products in float32."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], *vectors.shape[1:]), jnp.float32)
        bias = self.param("bias", initializers.zeros, vectors.shape[1:], jnp.float32)
        product = functools.partial(jnp.einsum, precision="highest")
        vectors = vectors / math.sqrt(vectors.shape[-1])
        in_space_of_x = product("dhk,bhk->bhd", kernel, vectors)
        return (
            product("bhd,bnd->bhn", in_space_of_x, x.astype(jnp.float32))
            + product("hk,bhk->bh", bias, vectors)[..., None]
        )


class InjectionBlock(nn.Module):
    """One block of FIT: the query map takes from the fixed source, then Y + MLP(LayerNorm(Y)).

    No residual around the attention, no output projection and no norm before it (HandOccNet's code): a query whose
    gate closes keeps only what the MLP makes of nothing. `residual` adds the query map, as in HandOccNet's SET.
    Tokens have no position maps: their own code says where they are.
    """

    config: ModelConfig
    kind: str
    residual: bool = False
    has_positions: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        query_map: Float[Array, "b n d"],
        source: Float[Array, "b n d"],
        valid: Bool[Array, "b n"] | None = None,
        *,
        train: bool,
    ) -> tuple[Float[Array, "b n d"], Float[Array, ""]]:
        """Return the new query map and the share of saturated gates; only `valid` positions, or all, are drawn on."""
        queries, keys = self._placed("query", query_map), self._placed("key", source)
        gate_logits: Array | None
        if self.kind == "pointwise":
            mixed, gate_logits = self._alone(queries, keys, source)
        else:
            q, k = self._compared("query", queries), self._compared("key", keys)
            gate_logits = self._gate_logits(queries, keys, valid) if self.kind == "dual" else None
            mixed = self._attend(q, k, self._heads("value", source), gate_logits, valid)
        y = mixed.reshape(query_map.shape) + (query_map if self.residual else 0.0)
        saturated = jnp.zeros(()) if gate_logits is None else jnp.mean(jnp.abs(gate_logits) > SATURATED_LOGIT)
        return y + self._mlp(layer_norm("norm", self.dtype)(y)), saturated.astype(jnp.float32)

    def _placed(self, name: str, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        if not self.has_positions:
            return x
        init = initializers.normal(self.config.ciet_position_std)
        positions = self.param(f"{name}_position", init, (1, *x.shape[1:]), jnp.float32)
        return x + for_each_example(positions[0], len(x), self.dtype)

    def _alone(
        self, queries: Float[Array, "b n d"], keys: Float[Array, "b n d"], source: Float[Array, "b n d"]
    ) -> tuple[Float[Array, "b n heads dh"], Float[Array, "b heads n 1"]]:
        """Return what each position makes of itself, and the logits of its gates: a control of parameters and FLOPs.

        Attention to oneself alone is the gated value, whatever query and key are. So these are added to the value,
        whose layer then refines the sum as often as attention to all positions would cost.
        """
        value = self._projection("value", source.shape[-1])
        x = value(source) + self._heads("query", queries) + self._heads("key", keys)
        for _ in range(_refinements(*source.shape[1:])):
            x = x + value(gelu(x.reshape(source.shape)))
        q, k = self._compared("gate_query", queries), self._compared("gate_key", keys)
        logits = jnp.einsum("bnhk,bnhk->bhn", q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
        return x * jnp.swapaxes(nn.sigmoid(logits), 1, 2)[..., None].astype(self.dtype), logits[..., None]

    def _heads(self, name: str, x: Float[Array, "b n d"]) -> Float[Array, "b n heads dh"]:
        return self._projection(name, x.shape[-1])(x)

    def _projection(self, name: str, width: int) -> nn.DenseGeneral:
        heads = self.config.ciet_heads
        init = initializers.normal(self.config.ciet_init_std)
        features = (heads, width // heads)
        return nn.DenseGeneral(features, kernel_init=init, dtype=self.dtype, dot_general=row_products, name=name)

    def _compared(self, name: str, x: Float[Array, "b n d"]) -> Float[Array, "b n heads dh"]:
        """Return heads that products are taken of; see `ciet_qk_norm`."""
        heads = self._heads(name, x)
        return unit_rms(heads) if self.config.ciet_qk_norm else heads

    def _gate_logits(
        self, queries: Float[Array, "b n d"], keys: Float[Array, "b n d"], valid: Bool[Array, "b n"] | None
    ) -> Float[Array, "b heads n _"]:
        """Return the logits per head and query (and key), in float32: the sum over keys is taken before the sigmoid, in
        O(n).
        """
        heads, init = self.config.ciet_heads, initializers.normal(self.config.ciet_init_std)
        if self.config.ciet_gate == "elementwise":
            q, k = self._compared("gate_query", queries), self._compared("gate_key", keys)
            return scaled_products(q.astype(jnp.float32), k.astype(jnp.float32))
        # The sum of linear functions is the function of the sum, so that one row an image goes through the layer.
        features = (heads, keys.shape[-1] // heads)
        layer = nn.DenseGeneral(features, kernel_init=init, precision="highest", name="gate_key")
        where = None if valid is None else valid[..., None]
        pooled = layer(keys.mean(1, dtype=jnp.float32, where=where))
        if self.config.ciet_qk_norm:
            q, k = self._compared("gate_query", queries).astype(jnp.float32), unit_rms(pooled)
            return jnp.einsum("bnhd,bhd->bhn", q, k)[..., None] / math.sqrt(q.shape[-1])
        if self.config.ciet_gate == "sum":
            pooled = _count(keys, valid)[..., None] * pooled
        return ProjectedProducts(init, name="gate_query")(queries, pooled)[..., None]

    def _attend(
        self,
        q: Float[Array, "b n heads dh"],
        k: Float[Array, "b n heads dh"],
        v: Float[Array, "b n heads dh"],
        gate_logits: Float[Array, "b _ _ _"] | None,
        valid: Bool[Array, "b n"] | None,
    ) -> Float[Array, "b n heads dh"]:
        gates = None if gate_logits is None else nn.sigmoid(gate_logits)
        if self.kind == "sigmoid" or self.config.ciet_gate == "elementwise" or valid is not None:
            scores = scaled_products(q, k)
            if valid is not None:
                scores = jnp.where(valid[:, None, None], scores, -jnp.inf)
            count = _count(k, valid)[..., None, None]
            weights = nn.sigmoid(scores) / count if self.kind == "sigmoid" else jax.nn.softmax(scores)
            weights = weights if gates is None else weights * gates
            return jnp.einsum("bhij,bjhd->bihd", weights.astype(self.dtype), v)
        mixed = softmax_attention(q, k, v, self.config.ciet_query_block)
        # One gate a query scales the whole row, so it is applied after the sum over keys, with n times less work.
        return mixed if gates is None else mixed * jnp.swapaxes(gates, 1, 2).astype(self.dtype)

    def _mlp(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        init = initializers.normal(self.config.ciet_mlp_init_std)
        hidden = dense(self.config.ciet_mlp_ratio * x.shape[-1], init, self.dtype, "mlp_in")
        out = dense(x.shape[-1], init, self.dtype, "mlp_out")
        return out(gelu(hidden(x)))


class Ciet(nn.Module):
    """The whole module: split into evidence and context, inject, merge. `model.ciet="off"` returns its input."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"], *, train: bool) -> Enhanced:
        """Enhance one map; width and height of the map stay."""
        if self.config.ciet == "off":
            return Enhanced(features, jnp.zeros(()))
        mask = SpatialGate(self.dtype, name="spatial_gate")(features, train=train).astype(self.dtype)
        primary, secondary = features * mask, features * (1 - mask)
        source, x = _to_tokens(primary), _to_tokens(secondary)
        saturated = []
        for i in range(self.config.ciet_blocks):
            block = InjectionBlock(self.config, self.config.ciet, dtype=self.dtype, name=f"block{i}")
            x, share = apply_block(self.config.remat, block, x, source, train=train)
            saturated.append(share)
        merged = self._merge(jnp.concatenate([primary, x.reshape(features.shape)], -1))
        return Enhanced(self._self_enhance(merged, train=train), jnp.stack(saturated).mean())

    def _merge(self, z: Float[Array, "b h w c2"]) -> Float[Array, "b h w c"]:
        channels = z.shape[-1] // 2
        init = normal_or_he(self.config.ciet_merge_init_std)
        conv = {"use_bias": True, "kernel_init": init, "dtype": self.dtype}
        deep = nn.relu(Conv(channels, 3, **conv, name="merge_conv1")(z))
        deep = Conv(channels, 3, **conv, name="merge_conv2")(deep)
        return deep + Conv(channels, 1, **conv, name="merge_shortcut")(z)

    def _self_enhance(self, features: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Apply HandOccNet's SET, off by default: softmax only, with residual, keys and values from its input."""
        source = x = _to_tokens(features)
        for i in range(self.config.ciet_self_enhancing_blocks):
            block = InjectionBlock(self.config, "softmax", residual=True, dtype=self.dtype, name=f"enhance{i}")
            x, _ = apply_block(self.config.remat, block, x, source, train=train)
        return x.reshape(features.shape)


class TokenCiet(nn.Module):
    """CIET over the tokens that localisation took: those of hidden joints draw on those of visible ones [ours].

    The map's module with a token in place of a position: the gate looks at the token alone, and the merging
    convolutions become linear layers.
    """

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b t d"], valid: Bool[Array, "b t"], *, train: bool
    ) -> tuple[Float[Array, "b t d"], Float[Array, ""]]:
        """Return the enhanced tokens and the share of saturated gates; empty slots give nothing to the others."""
        if self.config.ciet == "off":
            return tokens, jnp.zeros(())
        width, init = tokens.shape[-1], initializers.lecun_normal()
        pooled = jnp.stack([tokens.max(-1), tokens.mean(-1)], axis=-1)
        evidence = nn.sigmoid(dense(1, init, self.dtype, "evidence_gate")(pooled))
        source, x = tokens * evidence, tokens * (1 - evidence)
        saturated = []
        for i in range(self.config.ciet_blocks):
            block = InjectionBlock(self.config, self.config.ciet, False, False, self.dtype, name=f"block{i}")
            x, share = apply_block(self.config.remat, block, x, source, valid, train=train)
            saturated.append(share)
        merged = jnp.concatenate([source, x], -1)
        deep = nn.relu(dense(width, init, self.dtype, "merge1")(merged))
        deep = dense(width, init, self.dtype, "merge2")(deep)
        return deep + dense(width, init, self.dtype, "merge_shortcut")(merged), jnp.stack(saturated).mean()


def unit_rms(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Scale vectors to a root mean square of 1, so that no scaled product of two of them exceeds sqrt(d)."""
    x_f32 = x.astype(jnp.float32)
    return (x_f32 * jax.lax.rsqrt(jnp.square(x_f32).mean(-1, keepdims=True) + NEAR_ZERO)).astype(x.dtype)


def _refinements(positions: int, width: int) -> int:
    """Return how many linear layers cost what attention does, less the two that the gates of all positions take."""
    return max(round(2 * positions / width) - 2, 0)


def _count(keys: Float[Array, "b n ..."], valid: Bool[Array, "b n"] | None) -> Float[Array, "b 1"]:
    """Return how many positions of each example are drawn on."""
    if valid is None:
        return jnp.full((len(keys), 1), float(keys.shape[1]))
    return valid.sum(-1, keepdims=True).astype(jnp.float32)


def _to_tokens(x: Float[Array, "b h w c"]) -> Float[Array, "b n c"]:
    return x.reshape(x.shape[0], -1, x.shape[-1])

"""Self-attention over tokens and cross-attention from pose queries, post-norm as in DETR."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen import initializers
from jaxtyping import Array, Bool, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import dense, layer_norm
from occrobnet_jax.models.ops.gradient_sums import for_each_example
from occrobnet_jax.models.ops.products import row_products
from occrobnet_jax.models.remat import apply_block


class Encoder(nn.Module):
    """Tells which joint of which hand each token is: tokens attend to each other."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b t d"], valid: Bool[Array, "b t"], *, train: bool
    ) -> Float[Array, "layers b t d"]:
        """Return the outputs of every layer; the last is the decoder's memory."""
        mask = valid[:, None, None, :]
        outputs = []
        for i in range(self.config.encoder_layers):
            layer = EncoderLayer(self.config, self.dtype, name=f"layer{i}")
            tokens = apply_block(self.config.remat, layer, tokens, mask, train=train)
            outputs.append(tokens)
        return jnp.stack(outputs)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual and LayerNorm."""

    config: ModelConfig
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], mask: Bool[Array, "b 1 1 t"], *, train: bool) -> Float[Array, "b t d"]:
        """Apply the layer."""
        drop = nn.Dropout(self.config.dropout, deterministic=not train)
        attended = attention(self.config, self.dtype, train, "self_attention")(x, x, x, mask=mask)
        x = layer_norm("norm1", self.dtype)(x + drop(attended))
        return FeedForward(self.config, self.dtype, name="feed_forward")(x, train=train)


class Decoder(nn.Module):
    """Turns identified tokens into a pose: learned queries attend to each other and to the tokens."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        memory: Float[Array, "b t d"],
        query_mask: Bool[Array, "q q"],
        memory_mask: Bool[Array, "b q t"],
        start: Float[Array, "b q d"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "layers b q d"]:
        """Return the LayerNorm of every layer's output.

        Args:
            memory: the encoder's last output.
            query_mask: which queries (columns) a query (row) may see.
            memory_mask: which tokens a query may see.
            start: what the layers add to; zeros by default, as in DETR.
            train: whether dropout is active.
        """
        num_queries = query_mask.shape[0]
        embedding = self.param("queries", initializers.normal(1.0), (num_queries, memory.shape[-1]), jnp.float32)
        queries = for_each_example(embedding, len(memory), self.dtype)
        x = jnp.zeros_like(queries) if start is None else start
        norm = layer_norm("norm", self.dtype)
        outputs = []
        for i in range(self.config.decoder_layers):
            layer = DecoderLayer(self.config, self.dtype, name=f"layer{i}")
            masks = query_mask[None, None], memory_mask[:, None]
            x = apply_block(self.config.remat, layer, x, queries, memory, *masks, train=train)
            outputs.append(norm(x))
        return jnp.stack(outputs)


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the tokens, feed-forward."""

    config: ModelConfig
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b q d"],
        queries: Float[Array, "b q d"],
        memory: Float[Array, "b t d"],
        query_mask: Bool[Array, "1 1 q q"],
        memory_mask: Bool[Array, "b 1 q t"],
        *,
        train: bool,
    ) -> Float[Array, "b q d"]:
        """Apply the layer; the query embedding is added to queries and keys, never to values."""
        drop = nn.Dropout(self.config.dropout, deterministic=not train)
        key = x + queries
        attended = attention(self.config, self.dtype, train, "self_attention")(key, key, x, mask=query_mask)
        x = layer_norm("norm1", self.dtype)(x + drop(attended))
        cross = attention(self.config, self.dtype, train, "cross_attention")
        attended = cross(x + queries, memory, memory, mask=memory_mask)
        x = layer_norm("norm2", self.dtype)(x + drop(attended))
        return FeedForward(self.config, self.dtype, name="feed_forward")(x, train=train)


class FeedForward(nn.Module):
    """Two linear layers with ReLU, residual, LayerNorm."""

    config: ModelConfig
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"], *, train: bool) -> Float[Array, "b t d"]:
        """Apply the block."""
        init = initializers.xavier_uniform()
        drop = nn.Dropout(self.config.dropout, deterministic=not train)
        hidden = dense(self.config.feed_forward, init, self.dtype, "linear1")(x)
        out = dense(x.shape[-1], init, self.dtype, "linear2")(drop(nn.relu(hidden)))
        return layer_norm("norm", self.dtype)(x + drop(out))


def attention(config: ModelConfig, dtype: Any, train: bool, name: str) -> nn.MultiHeadDotProductAttention:
    """Return multi-head attention with Xavier initialisation and a float32 softmax."""
    return nn.MultiHeadDotProductAttention(
        num_heads=config.heads,
        kernel_init=initializers.xavier_uniform(),
        dropout_rate=config.dropout,
        broadcast_dropout=False,
        deterministic=not train,
        force_fp32_for_softmax=True,
        dtype=dtype,
        qkv_dot_general=row_products,
        out_dot_general=row_products,
        name=name,
    )

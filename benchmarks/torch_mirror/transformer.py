"""Encoder and decoder, as `occrobnet_jax.models.transformer`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occrobnet_jax.models.config import ModelConfig


class Attention(nn.Module):
    """Multi-head attention on PyTorch's fused kernel."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        for name in ("query", "key", "value", "out"):
            self.add_module(name, nn.Linear(config.width, config.width))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attend where the mask is True."""
        q, k, v = (self._heads(layer(x)) for layer, x in ((self.query, q), (self.key, k), (self.value, v)))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with ReLU, residual, LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear1 = nn.Linear(config.width, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, config.width)
        self.norm, self.drop = nn.LayerNorm(config.width), nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return self.norm(x + self.drop(self.linear2(self.drop(F.relu(self.linear1(x))))))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual and LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attention, self.feed_forward = Attention(config), FeedForward(config)
        self.norm1, self.drop = nn.LayerNorm(config.width), nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Apply the layer."""
        return self.feed_forward(self.norm1(x + self.drop(self.self_attention(x, x, x, mask))))


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the tokens, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attention, self.cross_attention = Attention(config), Attention(config)
        self.feed_forward, self.drop = FeedForward(config), nn.Dropout(config.dropout)
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)

    def forward(self, x: Tensor, queries: Tensor, memory: Tensor, query_mask: Tensor, memory_mask: Tensor) -> Tensor:
        """Apply the layer."""
        key = x + queries
        x = self.norm1(x + self.drop(self.self_attention(key, key, x, query_mask)))
        x = self.norm2(x + self.drop(self.cross_attention(x + queries, memory, memory, memory_mask)))
        return self.feed_forward(x)


class Encoder(nn.Module):
    """Tells which joint of which hand each token is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.depth = config.encoder_layers
        for i in range(self.depth):
            self.add_module(f"layer{i}", EncoderLayer(config))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs of every layer, l b t d."""
        outputs = []
        for i in range(self.depth):
            tokens = getattr(self, f"layer{i}")(tokens, mask)
            outputs.append(tokens)
        return torch.stack(outputs)


class Decoder(nn.Module):
    """Turns identified tokens into a pose."""

    def __init__(self, config: ModelConfig, num_queries: int) -> None:
        super().__init__()
        self.depth = config.decoder_layers
        self.queries = nn.Parameter(torch.zeros(num_queries, config.width))
        for i in range(self.depth):
            self.add_module(f"layer{i}", DecoderLayer(config))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, memory: Tensor, query_mask: Tensor, memory_mask: Tensor) -> Tensor:
        """Return the LayerNorm of every layer's output, l b q d."""
        queries = self.queries.expand(len(memory), -1, -1)
        x, outputs = torch.zeros_like(queries), []
        for i in range(self.depth):
            x = getattr(self, f"layer{i}")(x, queries, memory, query_mask, memory_mask[:, None])
            outputs.append(self.norm(x))
        return torch.stack(outputs)

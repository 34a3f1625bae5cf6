"""CIET, as `occrobnet_jax.models.ciet`, on PyTorch's fused attention."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_mirror.layers import cat_channels
from occrobnet_jax.models.config import ModelConfig


class SpatialGate(nn.Module):
    """Share of each position that is hand evidence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask, b 1 h w."""
        pooled = torch.stack([x.amax(1), x.mean(1)], 1)
        return torch.sigmoid(self.norm(self.conv(pooled)))


class InjectionBlock(nn.Module):
    """The query map takes from the fixed source, then Y + MLP(LayerNorm(Y))."""

    def __init__(self, config: ModelConfig, count: int) -> None:
        super().__init__()
        width = config.neck_channels
        self.heads, self.gate_sum = config.ciet_heads, config.ciet_gate == "sum"
        self.query_position = nn.Parameter(torch.zeros(1, count, width))
        self.key_position = nn.Parameter(torch.zeros(1, count, width))
        self.is_gated = config.ciet == "dual"
        for name in ("query", "key", "value", *(("gate_query", "gate_key") if self.is_gated else ())):
            self.add_module(name, nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, config.ciet_mlp_ratio * width)
        self.mlp_out = nn.Linear(config.ciet_mlp_ratio * width, width)

    def forward(self, query_map: Tensor, source: Tensor) -> Tensor:
        """Return the new query map, b n d."""
        queries, keys = query_map + self.query_position, source + self.key_position
        mixed = F.scaled_dot_product_attention(
            self._heads(self.query(queries)), self._heads(self.key(keys)), self._heads(self.value(source))
        )
        if self.is_gated:
            mixed = mixed * self._gates(self._heads(self.gate_query(queries)), self._heads(self.gate_key(keys)))
        y = mixed.transpose(1, 2).reshape(query_map.shape)
        return y + self.mlp_out(F.gelu(self.mlp_in(self.norm(y))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _gates(self, q: Tensor, k: Tensor) -> Tensor:
        pooled = k.sum(2, keepdim=True) if self.gate_sum else k.mean(2, keepdim=True)
        return torch.sigmoid(q @ pooled.transpose(2, 3) / math.sqrt(q.shape[-1]))


class Ciet(nn.Module):
    """Split into evidence and context, inject, merge."""

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        if config.ciet not in ("dual", "softmax") or config.ciet_gate == "elementwise":
            raise ValueError(f"ciet={config.ciet!r} with ciet_gate={config.ciet_gate!r} has no mirror in PyTorch")
        width = config.neck_channels
        self.depth = config.ciet_blocks
        self.spatial_gate = SpatialGate()
        for i in range(self.depth):
            self.add_module(f"block{i}", InjectionBlock(config, num_tokens))
        self.merge_conv1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.merge_conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.merge_shortcut = nn.Conv2d(2 * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Enhance one map, b c h w."""
        mask = self.spatial_gate(features)
        primary, secondary = features * mask, features * (1 - mask)
        source, x = (m.flatten(2).transpose(1, 2) for m in (primary, secondary))
        for i in range(self.depth):
            x = getattr(self, f"block{i}")(x, source)
        z = cat_channels(primary, x.transpose(1, 2).reshape(features.shape))
        return self.merge_conv2(F.relu(self.merge_conv1(z))) + self.merge_shortcut(z)

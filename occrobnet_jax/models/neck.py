"""From the backbone's maps to one pyramid: the paper's FPN, or Keypoint Transformer's two U-Net decoders."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import (
    Conv,
    ConvBnRelu,
    UpConvBnRelu,
    he_normal,
    normal_or_he,
    small_normal,
    upsample_2x,
)

Maps = tuple[Float[Array, "b _ _ _"], ...]


@struct.dataclass
class Pyramid:
    """Feature maps at strides 4, 8, 16 and 32."""

    p2: Float[Array, "b h4 w4 _"]
    p3: Float[Array, "b h8 w8 _"]
    p4: Float[Array, "b h16 w16 _"]
    p5: Float[Array, "b h32 w32 _"]


class FeaturePyramid(nn.Module):
    """FPN: 1 x 1 laterals, bilinear top-down additions, one 3 x 3 smoothing of the finest (HandOccNet's form)."""

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, taps: Maps) -> Pyramid:
        """Build the pyramid from the backbone's taps at strides 2 to 32 (the first one is not used here)."""
        level, levels = None, []
        for name, tap in zip(("lateral5", "lateral4", "lateral3", "lateral2"), taps[:0:-1], strict=True):
            lateral = Conv(self.channels, 1, use_bias=True, dtype=self.dtype, name=name)(tap)
            level = lateral if level is None else lateral + upsample_2x(level)
            levels.append(level)
        p5, p4, p3, p2 = levels
        return Pyramid(Conv(self.channels, 3, use_bias=True, dtype=self.dtype, name="smooth2")(p2), p3, p4, p5)


class FinestLevel(nn.Module):
    """The map that heatmaps are read off: from stride 4 up to stride 2 with the stem's skip, or kept at stride 4."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, p2: Float[Array, "b h4 w4 c"], stem: Float[Array, "b h2 w2 cs"], *, train: bool
    ) -> Float[Array, "b hh ww cf"]:
        """Build the map (Keypoint Transformer's last decoder stage, after the FPN)."""
        channels = self.config.heatmap_channels
        if self.config.heatmap_stride == 4:
            return ConvBnRelu(channels, dtype=self.dtype, name="conv")(p2, train=train)
        up = UpConvBnRelu(2 * channels, self.dtype, name="up")(p2, train=train)
        lateral = ConvBnRelu(channels, 1, dtype=self.dtype, name="lateral")(stem, train=train)
        return ConvBnRelu(channels, dtype=self.dtype, name="conv")(jnp.concatenate([lateral, up], -1), train=train)


class UNet(nn.Module):
    """Keypoint Transformer's decoder, with laterals (small) or with raw skips (big); widths scale with the backbone."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, taps: Maps, *, train: bool) -> Maps:
        """Return five levels, finest first, from the backbone's taps at strides 2 to 32."""
        big = self.config.neck == "unet_big"
        widths = [taps[-1].shape[-1] // n for n in ((2, 4, 8, 16) if big else (8, 16, 32, 32))]
        lateral_widths = [taps[-1].shape[-1] // n for n in (8, 16, 32, 64)]
        out_widths = [taps[-1].shape[-1] // n for n in ((2, 4, 8, 16) if big else (8, 16, 32, 64))]
        init = normal_or_he(self.config.neck_init_std)
        level = taps[-1]
        levels = [level if big else self._lateral("lateral0", taps[-1].shape[-1] // 4)(level, train=train)]
        for i, skip in enumerate(taps[-2::-1]):
            up = UpConvBnRelu(widths[i], self.dtype, init, name=f"up{i + 1}")(level, train=train)
            side = skip if big else self._lateral(f"lateral{i + 1}", lateral_widths[i])(skip, train=train)
            conv = ConvBnRelu(out_widths[i], dtype=self.dtype, kernel_init=init, name=f"conv{i + 1}")
            level = conv(jnp.concatenate([side, up], -1), train=train)
            levels.append(level)
        return tuple(reversed(levels))

    def _lateral(self, name: str, features: int) -> ConvBnRelu:
        init = normal_or_he(self.config.neck_init_std)
        return ConvBnRelu(features, 1, dtype=self.dtype, kernel_init=init, name=name)


class MapHead(nn.Module):
    """Reads maps off the finest level: linear, trained on a scale of 0 to 255."""

    hidden: tuple[int, ...]
    gain: float
    maps: int = 1
    dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal

    @nn.compact
    def __call__(self, finest: Float[Array, "b hh ww c"], *, train: bool) -> Float[Array, "b hh ww maps"]:
        """Apply 1 x 1 convolutions; the last has no activation."""
        x = finest
        for i, features in enumerate(self.hidden):
            conv = ConvBnRelu(features, 1, dtype=self.dtype, kernel_init=self.kernel_init, name=f"conv{i}")
            x = conv(x, train=train)
        x = Conv(self.maps, 1, use_bias=True, kernel_init=small_normal, dtype=self.dtype, name="out")(x)
        return self.gain * x.astype(jnp.float32)


def map_head_widths(config: ModelConfig, channels: int) -> tuple[int, ...]:
    """Return the hidden widths of the map heads: none without object, one with, two in the big decoder (KypT)."""
    if not config.with_object:
        return ()
    return (channels, channels // 2) if config.neck == "unet_big" else (channels,)


class RebuiltPyramid(nn.Module):
    """Every level that tokens see, rebuilt from CIET's output, so that it reaches joints and object alike [ours].

    With CIET at stride 8: n3 = F', n4 = conv(n3) + p4, n5 = conv(n4) + p5 (3 x 3, stride 2), n2 = up(n3) + p2.
    """

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, enhanced: Float[Array, "b h w c"], pyramid: Pyramid) -> Pyramid:
        """Replace the levels of the pyramid."""
        if self.config.ciet_stride == 8:
            n3 = enhanced
            n4 = self._down("down4")(n3) + pyramid.p4
        else:
            n4 = enhanced
            n3 = upsample_2x(n4) + pyramid.p3
        n5 = self._down("down5")(n4) + pyramid.p5
        return Pyramid(upsample_2x(n3) + pyramid.p2, n3, n4, n5)

    def _down(self, name: str) -> Conv:
        return Conv(self.config.neck_channels, 3, 2, use_bias=True, dtype=self.dtype, name=name)

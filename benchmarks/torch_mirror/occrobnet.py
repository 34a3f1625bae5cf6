"""The whole network, as `occrobnet_jax.models.occrobnet`."""

import torch
from torch import Tensor, nn

from benchmarks.torch_mirror.ciet import Ciet
from benchmarks.torch_mirror.heads import ClassHead, HandHead, PoseHeads
from benchmarks.torch_mirror.keypoints import select_keypoints
from benchmarks.torch_mirror.neck import FeaturePyramid, FinestLevel, MapHead, RebuiltPyramid, UNet, average_pool
from benchmarks.torch_mirror.resnet import ResNet
from benchmarks.torch_mirror.tokens import Tokens
from benchmarks.torch_mirror.transformer import Decoder, Encoder
from occrobnet_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.neck import map_head_widths
from occrobnet_jax.models.queries import QueryLayout

Outputs = dict[str, Tensor]


class Neck(nn.Module):
    """From the backbone's maps to the levels that tokens see, finest first."""

    def __init__(self, config: ModelConfig, input_size_px: int, widths: list[int]) -> None:
        super().__init__()
        self.is_fpn, self.ciet_factor = config.neck == "fpn", config.ciet_stride // 4
        if config.neck == "unet_big" or config.heatmap_stride != 2 or config.ciet_stride != 8:
            raise ValueError("the mirror has neck='fpn' and 'unet', heatmap_stride=2 and ciet_stride=8 only")
        if config.localise_from != "fpn" or config.hand_maps_head or config.ciet_self_enhancing_blocks:
            raise ValueError("the mirror localises from the FPN, without maps of the hands and self-enhancing blocks")
        if not self.is_fpn:
            self.unet = UNet(widths)
            self.widths = self.unet.widths
            return
        self.fpn = FeaturePyramid(widths, config.neck_channels)
        self.ciet = nn.Identity() if config.ciet == "off" else Ciet(config, (input_size_px // config.ciet_stride) ** 2)
        self.rebuilt = RebuiltPyramid(config.neck_channels)
        self.finest = FinestLevel(config)
        self.widths = [config.heatmap_channels] + [config.neck_channels] * 4

    def forward(self, taps: list[Tensor]) -> list[Tensor]:
        """Return the levels."""
        if not self.is_fpn:
            return self.unet(taps)
        p2, _, p4, p5 = self.fpn(taps)
        enhanced = self.ciet(average_pool(p2, self.ciet_factor))
        return [self.finest(p2, taps[0]), *self.rebuilt(enhanced, p2, p4, p5)]


class OccRobNet(nn.Module):
    """The network; maps are b c h w, and its input b h w 3 in 0 to 255, as ours is."""

    def __init__(self, config: ModelConfig, input_size_px: int = 256) -> None:
        super().__init__()
        self.config, layout = config, QueryLayout.of(config)
        self.layout = layout
        self.backbone = ResNet(config)
        self.neck = Neck(config, input_size_px, self.backbone.widths)
        channels = self.neck.widths[0]
        hidden = map_head_widths(config, channels)
        self.heatmap_head = MapHead(channels, hidden, config.heatmap_gain)
        if config.with_object:
            self.object_head = MapHead(channels, hidden, config.heatmap_gain)
        self.tokens = Tokens(config, self.neck.widths)
        self.encoder, self.decoder = Encoder(config), Decoder(config, layout.size)
        self.class_head, self.hand_head = ClassHead(config), HandHead(self.backbone.widths[-1])
        self.pose_heads = PoseHeads(config)
        self.register_buffer("query_mask", torch.from_numpy(layout.query_mask()), persistent=False)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("image_mean", mean, persistent=False)
        self.register_buffer("image_std", std, persistent=False)

    def forward(self, image: Tensor) -> Outputs:
        """Return the fields of `types.Predictions`, and those of its keypoints."""
        taps = self.backbone(self._normalized(image))
        levels = self.neck(taps)
        heatmap = self.heatmap_head(levels[0])
        object_map = self.object_head(levels[0]) if self.config.with_object else None
        xy_hm, valid, is_object = select_keypoints(heatmap, object_map, self.config)
        tokens = self.tokens(levels, xy_hm, heatmap.shape[-1])
        attendable = valid | (~valid.any(-1, keepdim=True) & ~is_object)
        encoded = self.encoder(tokens, attendable[:, None, None])
        decoded = self.decoder(encoded[-1], self.query_mask, self._memory_mask(attendable, valid, is_object))
        outputs = {"heatmap": heatmap, "xy_hm": xy_hm, "valid": valid, "is_object": is_object, "tokens": tokens}
        outputs |= {} if object_map is None else {"object_map": object_map}
        outputs |= {"class_logits": self.class_head(encoded), "hand_logits": self.hand_head(taps[-1])}
        return outputs | self.pose_heads(decoded)

    def _normalized(self, image: Tensor) -> Tensor:
        x = image.permute(0, 3, 1, 2).to(self.image_mean.dtype) / 255
        return (x - self.image_mean) / self.image_std if self.config.input_normalisation == "imagenet" else x

    def _memory_mask(self, attendable: Tensor, valid: Tensor, is_object: Tensor) -> Tensor:
        mask = attendable[:, None].repeat(1, self.layout.size, 1)
        if self.config.with_object:
            things = valid & is_object
            mask[:, self.layout.object_rotation] = torch.where(things.any(-1, keepdim=True), things, attendable)
        return mask

"""Keypoint Transformer in PyTorch, written from its description: the oracle of imported weights.

Modules carry the names of the released files, so that `state_dict()` is such a file's. Import it only where PyTorch is.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet50

from tests.models.test_model_parts import greedy_oracle

SIDE = 128  # of the heatmap
THRESHOLDS = {"joint": 20.0, "object": 15.0}
SLOTS = 100


def conv_norm(given: int, made: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(given, made, kernel, padding=kernel // 2), nn.BatchNorm2d(made), nn.ReLU())


def up_norm(given: int, made: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(given, made, 4, 2, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU())


def map_head(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for given, made in itertools.pairwise(widths[:-1]):
        layers += [nn.Conv2d(given, made, 1), nn.BatchNorm2d(made), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-2], widths[-1], 1))


class Mlp(nn.Module):
    def __init__(self, *widths: int, last_relu: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        for number, linear in enumerate(self.layers):
            x = linear(x)
            if self.last_relu or number < len(self.layers) - 1:
                x = x.clamp(min=0)
        return x


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = resnet50(weights=None)
        del self.resnet.fc

    def forward(self, image: Tensor) -> list[Tensor]:
        net = self.resnet
        taps = [net.relu(net.bn1(net.conv1(image)))]
        x = net.maxpool(taps[0])
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = stage(x)
            taps.append(x)
        return taps


class UNet(nn.Module):
    """Levels from stride 32 to 2: concat[lateral or raw tap, up], then a convolution."""

    RAW = (2048, 1024, 512, 256, 64)

    def __init__(self, big: bool, with_object: bool) -> None:
        super().__init__()
        self.big = big
        sides = self.RAW if big else (512, 256, 128, 64, 32)
        ups, outs = ((1024, 512, 256, 128),) * 2 if big else ((256, 128, 64, 64), (256, 128, 64, 32))
        for i in range(0 if big else 5):
            setattr(self, f"conv{i}d", conv_norm(self.RAW[i], sides[i], 1))
        for i in range(4):
            setattr(self, f"deconv{i + 1}", up_norm((2048, *outs)[i], ups[i]))
            setattr(self, f"conv{i + 1}", conv_norm(sides[i + 1] + ups[i], outs[i], 3))
        if with_object:
            widths = (128, 128, 64, 1) if big else (32, 32, 1)
            self.convOut_hm, self.convOut_seg = map_head(*widths), map_head(*widths)
        else:
            self.convOut = map_head(outs[-1], 1)

    def forward(self, taps: list[Tensor]) -> list[Tensor]:
        """From stride 2 to stride 32."""
        x = taps[4]
        levels = [x if self.big else self.conv0d(x)]
        for i in range(1, 5):
            side = taps[4 - i] if self.big else getattr(self, f"conv{i}d")(taps[4 - i])
            x = getattr(self, f"conv{i}")(torch.cat([side, getattr(self, f"deconv{i}")(x)], 1))
            levels.append(x)
        return levels[::-1]


class EncoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(256, 8, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(256, 2048), nn.Linear(2048, 256)
        self.norm1, self.norm2 = nn.LayerNorm(256), nn.LayerNorm(256)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x, x, x, key_padding_mask=padding)[0])
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


class DecoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(256, 8, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(256, 8, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(256, 2048), nn.Linear(2048, 256)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(256) for _ in range(3))

    def forward(self, x: Tensor, query: Tensor, memory: Tensor, hidden: Tensor, hidden_tokens: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x + query, x + query, x, attn_mask=hidden)[0])
        x = self.norm2(x + self.multihead_attn(x + query, memory, memory, attn_mask=hidden_tokens)[0])
        return self.norm3(x + self.linear2(self.linear1(x).relu()))


class Stack(nn.Module):
    """Holder of a transformer half's layers and its norm."""

    def __init__(self, layers: list[nn.Module], norm: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        setattr(self, norm, nn.LayerNorm(256))


class Kypt(nn.Module):
    """The whole network. Slots hold joints, then object points, then padding at (0, 0)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.big, self.with_object, self.angles = "big" in kind, "interhand" not in kind, "angles" in kind
        self.per_hand = 16 if self.angles else 20 if "3d" in kind else 21
        self.queries = 34 if self.angles else 43
        sampled = 3968 if self.big else 992
        self.backbone_net = Backbone()
        self.decoder_net = nn.Module()
        self.decoder_net.resnet_decoder = UNet(self.big, self.with_object)
        self.transformer = nn.Module()
        self.transformer.encoder = Stack([EncoderLayer() for _ in range(6)], "inter_norm")
        self.transformer.decoder = Stack([DecoderLayer() for _ in range(6 if kind.endswith("dec6") else 1)], "norm")
        self.norm1 = nn.LayerNorm(sampled)
        self.linear1 = Mlp(sampled, 1024, 512, 256, 224, last_relu=True)
        self.query_embed = nn.Embedding(self.queries, 256)
        self.linear_class = Mlp(256, 256, 256, 256, 44 if self.with_object else 43)
        heads = {"rel_trans": 3, "shape": 10, "cam": 3}
        if self.with_object:
            self.coarse = 3072 if self.big else 768
            hidden = (1024, 512, 256) if self.big else (512, 256, 256)
            self.linear1_obj = Mlp(self.coarse, *hidden, 224, last_relu=True)
            heads |= {"joint_vecs": 3, "obj_rel_trans": 3, "obj_rot": 6, "obj_corner_proj": 16}
            heads |= {"obj_left_rel_trans": 3} if kind.startswith("h2o3d") else {}
        elif self.angles:
            heads |= {"pose": 3}
        else:
            heads |= {"joint_2p5d_px": 128, "joint_2p5d_py": 128, "joint_2p5d_dep": 128}
        for name, made in heads.items():
            setattr(self, f"linear_{name}", Mlp(256, 256, 256, made))
        self.heads = tuple(heads)
        self.linear_bottleneck_hand_type = Mlp(2048, 512, 2)
        self.linear_hand_type = Mlp(256, 256, 3)

    def maps(self, image: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor | None]:
        taps = self.backbone_net(image)
        unet = self.decoder_net.resnet_decoder
        levels = unet(taps)
        if not self.with_object:
            return taps, levels, unet.convOut(levels[0])[:, 0], None
        return taps, levels, unet.convOut_hm(levels[0])[:, 0], unet.convOut_seg(levels[0])[:, 0]

    def forward(self, image: Tensor) -> dict[str, Any]:
        """Everything on the way, of an image in [0, 1], B x 3 x 256 x 256."""
        taps, levels, heatmap, seg = self.maps(image)
        xy, is_object, valid = self.slots(heatmap, seg)
        tokens = self.tokens(levels, xy, is_object)
        outputs, x = [], tokens
        for encoder_layer in self.transformer.encoder.layers:
            x = encoder_layer(x, ~valid)
            outputs.append(x)
        query = self.query_embed.weight[None].expand(len(image), -1, -1)
        decoded, y = [], torch.zeros_like(query)
        for layer in self.transformer.decoder.layers:
            y = layer(y, query, x, self.hidden_queries(), self.hidden_tokens(is_object, valid))
            decoded.append(self.transformer.decoder.norm(y))
        encoded, result = torch.stack(outputs), torch.stack(decoded)
        return {
            **{"taps": taps, "levels": levels, "heatmap": heatmap, "seg": seg, "tokens": tokens, "encoded": encoded},
            **{"xy": xy, "is_object": is_object, "valid": valid, "decoded": result},
            "class": self.linear_class(self.transformer.encoder.inter_norm(encoded)),
            "hand": self.linear_bottleneck_hand_type(taps[-1].mean((2, 3))),
            **{name: getattr(self, f"linear_{name}")(self.queries_of(name, result)) for name in self.heads},
        }

    def slots(self, heatmap: Tensor, seg: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Positions (x, y), object flags and validity of 100 slots; without any detection all are valid at (0, 0)."""
        xy = torch.zeros(len(heatmap), SLOTS, 2)
        is_object, valid = (torch.zeros(len(heatmap), SLOTS, dtype=torch.bool) for _ in range(2))
        for b in range(len(heatmap)):
            most = SLOTS if seg is None else 50
            joints = greedy_oracle(heatmap[b].detach().numpy(), THRESHOLDS["joint"], 5, most)
            things = [] if seg is None else greedy_oracle(seg[b].detach().numpy(), THRESHOLDS["object"], 5, 50)
            points = joints + things
            if points:
                xy[b, : len(points)] = torch.tensor(points, dtype=torch.float32)
                is_object[b, len(joints) : len(points)] = True
            valid[b, : len(points) or SLOTS] = True
        return xy, is_object, valid

    def tokens(self, levels: list[Tensor], xy: Tensor, is_object: Tensor) -> Tensor:
        grid = (2 * xy / (SIDE - 1) - 1)[:, None]
        features = torch.cat([F.grid_sample(level, grid, align_corners=True)[:, :, 0] for level in levels], 1).mT
        token = self.linear1(features)
        if self.with_object:
            token = torch.where(is_object[..., None], self.linear1_obj(features[..., -self.coarse :]), token)
        code = F.grid_sample(position_map().expand(len(xy), -1, -1, -1), grid, mode="nearest", align_corners=True)
        return torch.cat([token, code[:, :, 0].mT], -1)

    def hidden_queries(self) -> Tensor:
        """True where a query (row) must not see another.

        Fingers are blocks of four, or in angles of three after the hand's global rotation, which is alone, as is the
        camera query. The last one of the angles kind is nobody's and sees everything.
        """
        hidden = torch.zeros(self.queries, self.queries, dtype=torch.bool)
        first, length = (1, 3) if self.angles else (0, 4)
        blocks = [(2 * self.per_hand, 1)]
        for hand in (0, self.per_hand):
            blocks += [(hand + first + length * finger, length) for finger in range(5)]
            blocks += [(hand, 1)] if self.angles else []
        for start, size in blocks:
            hidden[start : start + size] = True
            hidden[start : start + size, start : start + size] = False
        return hidden

    def hidden_tokens(self, is_object: Tensor, valid: Tensor) -> Tensor:
        """Padding for every query; for the object's rotation all but object tokens, where there are any."""
        hidden = (~valid)[:, None].repeat(1, self.queries, 1)
        if self.with_object:
            some = is_object.any(1)
            hidden[some, 41] = ~is_object[some]
        return hidden.repeat_interleave(8, 0)

    def queries_of(self, name: str, decoded: Tensor) -> Tensor:
        if name.startswith("joint") or name == "pose":
            return decoded[:, :, : 2 * self.per_hand]
        if name.startswith("obj"):
            return decoded[:, :, 41 if name == "obj_rot" else 42]
        return decoded[:, :, 2 * self.per_hand]


def position_map() -> Tensor:
    """1 x 32 x 128 x 128: 16 values for y, 16 for x; sine and cosine in turn, temperature 100, positions from 1."""
    period = 100 ** (2 * torch.div(torch.arange(16), 2, rounding_mode="floor") / 16)
    angle = (torch.arange(1, SIDE + 1) / SIDE * 2 * math.pi)[:, None] / period
    code = torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], -1).flatten(1)
    down = code.mT[:, :, None].expand(16, SIDE, SIDE)
    return torch.cat([down, code.mT[:, None].expand(16, SIDE, SIDE)])[None]


@torch.no_grad()
def random_network(kind: str, seed: int, images: Tensor) -> Kypt:
    """Random weights whose statistics are those of the images, and whose maps have peaks above the thresholds."""
    torch.manual_seed(seed)
    network = Kypt(kind)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 and "norm" not in name and "bn" not in name:
            parameter.add_(0.05 * torch.randn_like(parameter))
        elif parameter.ndim == 1:
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter)).add_(0.05 * torch.randn_like(parameter))
        if name.endswith("bn3.weight"):
            parameter.mul_(0.3)  # as in trained networks: else fifty layers amplify rounding a hundredfold
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # plain means over what follows
    network.train().maps(images)
    network.eval()
    _, _, heatmap, seg = network.maps(images)
    unet = network.decoder_net.resnet_decoder
    heads = [unet.convOut[-1]] if seg is None else [unet.convOut_hm[-1], unet.convOut_seg[-1]]
    for head, values in zip(heads, [heatmap] if seg is None else [heatmap, seg], strict=True):
        gain = 30 / values.std()
        head.weight.mul_(gain)
        head.bias.copy_(gain * (head.bias - values.mean()))
    return network


def smooth_images(count: int, seed: int) -> Tensor:
    """Images with structure at several scales, as whole numbers of 255."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(count, 3, 256, 256)
    for side in (4, 16, 64):
        noise = torch.rand(count, 3, side, side, generator=generator)
        x += F.interpolate(noise, size=(256, 256), mode="bilinear", align_corners=False)
    return (255 * (x / 3)).round()


def save_snapshot(network: Kypt, path: Any, *, prefix: str = "module.", legacy: bool = False) -> None:
    """As the training script of Keypoint Transformer saves one."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    snapshot = {
        "epoch": 21,
        "network": {prefix + name: value for name, value in network.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 200).state_dict(),
    }
    torch.save(snapshot, path, _use_new_zipfile_serialization=not legacy)


def to_numpy(x: Tensor) -> np.ndarray:
    return x.detach().numpy()

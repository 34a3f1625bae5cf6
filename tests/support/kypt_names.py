"""Names and shapes of Keypoint Transformer's released files, from their description, not from what reads them."""

import itertools

from tests.support.resnet_names import Shapes, batch_norm, resnet_shapes

KINDS = ("interhand_2p5d_dec1", "ho3d_3d_big_dec6", "h2o3d_3d_dec1", "interhand_angles_big_dec6")
DECODER = "decoder_net.resnet_decoder"
DEAD_IN_3D = ("norm1", "linear_shape", "linear_obj_corner_proj", "linear_hand_type")


def layer(name: str, shape: tuple[int, ...], bias: bool = True) -> Shapes:
    return {f"{name}.weight": shape} | ({f"{name}.bias": (shape[0],)} if bias else {})


def mlp(name: str, *widths: int) -> Shapes:
    shapes: Shapes = {}
    for number, (given, made) in enumerate(itertools.pairwise(widths)):
        shapes |= layer(f"{name}.layers.{number}", (made, given))
    return shapes


def conv_norm(name: str, made: int, given: int, kernel: int) -> Shapes:
    return layer(f"{name}.0", (made, given, kernel, kernel)) | batch_norm(f"{name}.1", made)


def map_head(name: str, *widths: int) -> Shapes:
    shapes: Shapes = {}
    for number, (given, made) in enumerate(itertools.pairwise(widths)):
        shapes |= layer(f"{name}.{3 * number}", (made, given, 1, 1))
        if made > 1:
            shapes |= batch_norm(f"{name}.{3 * number + 1}", made)
    return shapes


def unet(big: bool, with_object: bool) -> Shapes:
    """Transposed convolutions have (in, out) channels and no bias."""
    shapes: Shapes = {}
    raw = (2048, 1024, 512, 256, 64)
    sides = raw if big else (512, 256, 128, 64, 32)
    ups = (1024, 512, 256, 128) if big else (256, 128, 64, 64)
    outs = (1024, 512, 256, 128) if big else (256, 128, 64, 32)
    if not big:
        for number in range(5):
            shapes |= conv_norm(f"{DECODER}.conv{number}d", sides[number], raw[number], 1)
    below = 2048
    for number in range(1, 5):
        shapes |= {f"{DECODER}.deconv{number}.0.weight": (below, ups[number - 1], 4, 4)}
        shapes |= batch_norm(f"{DECODER}.deconv{number}.1", ups[number - 1])
        shapes |= conv_norm(f"{DECODER}.conv{number}", outs[number - 1], sides[number] + ups[number - 1], 3)
        below = outs[number - 1]
    if not with_object:
        return shapes | map_head(f"{DECODER}.convOut", outs[-1], 1)
    widths = (128, 128, 64, 1) if big else (32, 32, 1)
    return shapes | map_head(f"{DECODER}.convOut_hm", *widths) | map_head(f"{DECODER}.convOut_seg", *widths)


def attention(name: str) -> Shapes:
    return {f"{name}.in_proj_weight": (768, 256), f"{name}.in_proj_bias": (768,)} | layer(
        f"{name}.out_proj", (256, 256)
    )


def vectors(name: str, width: int = 256) -> Shapes:
    return dict.fromkeys((f"{name}.weight", f"{name}.bias"), (width,))


def transformer(decoder_layers: int) -> Shapes:
    shapes = vectors("transformer.encoder.inter_norm") | vectors("transformer.decoder.norm")
    for part, count, attentions in (
        ("encoder", 6, ["self_attn"]),
        ("decoder", decoder_layers, ["self_attn", "multihead_attn"]),
    ):
        for number in range(count):
            name = f"transformer.{part}.layers.{number}"
            for which in attentions:
                shapes |= attention(f"{name}.{which}")
            shapes |= layer(f"{name}.linear1", (2048, 256)) | layer(f"{name}.linear2", (256, 2048))
            for norm in range(len(attentions) + 1):
                shapes |= vectors(f"{name}.norm{norm + 1}")
    return shapes


def kypt_shapes(kind: str) -> Shapes:
    """All names of a kind's state dict; the order has no meaning."""
    big, with_object = "big" in kind, "interhand" not in kind
    sampled = 3968 if big else 992
    shapes = {f"backbone_net.resnet.{name}": shape for name, shape in resnet_shapes("resnet50").items()}
    shapes |= unet(big, with_object) | transformer(6 if kind.endswith("dec6") else 1)
    shapes |= vectors("norm1", sampled) | {"query_embed.weight": (34 if "angles" in kind else 43, 256)}
    shapes |= mlp("linear1", sampled, 1024, 512, 256, 224)
    shapes |= mlp("linear_class", *[256] * 4, 44 if with_object else 43)
    heads = {"linear_rel_trans": 3, "linear_shape": 10, "linear_cam": 3}
    if with_object:
        shapes |= mlp("linear1_obj", *((3072, 1024, 512, 256, 224) if big else (768, 512, 256, 256, 224)))
        heads |= {"linear_joint_vecs": 3, "linear_obj_rel_trans": 3, "linear_obj_rot": 6, "linear_obj_corner_proj": 16}
        heads |= {"linear_obj_left_rel_trans": 3} if kind.startswith("h2o3d") else {}
    elif "angles" in kind:
        heads |= {"linear_pose": 3}
    else:
        heads |= {f"linear_joint_2p5d_{axis}": 128 for axis in ("px", "py", "dep")}
    for name, made in heads.items():
        shapes |= mlp(name, 256, 256, 256, made)
    return shapes | mlp("linear_bottleneck_hand_type", 2048, 512, 2) | mlp("linear_hand_type", 256, 256, 3)

"""Keypoint Transformer's released networks as configurations of ours, and the names of their weights.

The files are PyTorch's. What kind of network a file holds is told by its
names. `KINDS` has one row a released kind: a new one needs a row, and where it has parts of its own, their names in
`MODULES`.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PyTree

from occrobnet_jax.hands.mano_model import REGRESSOR_FILE
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.weights.pretrained import (
    COUNTERS,
    Source,
    StateDict,
    array_source,
    backbone_source,
    converted,
    heads_source,
    read_state_dict,
)

DECODER = "decoder_net.resnet_decoder"
OLD_DECODER = r"^decoder_net\.(?!resnet_decoder\.)"

UNUSED = (
    r"norm1\..*",  # dead in KypT's own code too
    r"linear_hand_type\..*",
    r"linear_obj_corner_proj\..*",  # trained with weight 0
    COUNTERS,
)
"""Names of a file's arrays that nothing is computed from."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """One of the released kinds of networks."""

    name: str
    dataset: str  # whose crops it was trained on
    marker: str  # a name that its files have, and those of the other kinds don't
    representation: Any
    unused: tuple[str, ...] = ()  # besides UNUSED


_SHAPE, _CAMERA = r"linear_shape\..*", r"linear_cam\..*"

ANGLES = Kind("angles", "interhand26m", "linear_pose.layers.0.weight", "angles")
KINDS = (
    Kind("2.5D", "interhand26m", "linear_joint_2p5d_px.layers.0.weight", "2.5d", (_SHAPE, _CAMERA)),
    Kind(
        "3D vectors, object from both wrists",
        "h2o3d",
        "linear_obj_left_rel_trans.layers.0.weight",
        "vectors",
        (_SHAPE,),
    ),
    Kind("3D vectors", "ho3d", "linear_joint_vecs.layers.0.weight", "vectors", (_SHAPE,)),
    ANGLES,
)
"""In the order in which they are tried."""

UNUSED_QUERY = 33  # of the angles kind: between the camera's and the object's, and nothing looks at it

MODULES = (
    (r"heatmap_head/(.*)", r"{head}/\1"),
    (r"object_head/(.*)", rf"{DECODER}.convOut_seg/\1"),
    (r"unet/lateral(\d)/(.*)", rf"{DECODER}.conv\1d/\2"),
    (r"unet/up(\d)(.*)", rf"{DECODER}.deconv\1\2"),
    (r"unet/conv(\d)/(.*)", rf"{DECODER}.conv\1/\2"),
    (r"tokens/joint_mlp", "linear1"),
    (r"tokens/object_mlp", "linear1_obj"),
    (r"encoder/layer(\d+)/feed_forward/norm", r"transformer.encoder.layers.\1.norm2"),
    (r"decoder/layer(\d+)/feed_forward/norm", r"transformer.decoder.layers.\1.norm3"),
    (r"(en|de)coder/layer(\d+)/feed_forward/(linear\d)", r"transformer.\1coder.layers.\2.\3"),
    (r"(en|de)coder/layer(\d+)/self_attention", r"transformer.\1coder.layers.\2.self_attn"),
    (r"decoder/layer(\d+)/cross_attention", r"transformer.decoder.layers.\1.multihead_attn"),
    (r"(en|de)coder/layer(\d+)/(norm\d)", r"transformer.\1coder.layers.\2.\3"),
    (r"decoder/norm", "transformer.decoder.norm"),
    (r"class_head/norm", "transformer.encoder.inter_norm"),
    (r"class_head/mlp", "linear_class"),
    (r"hand_head/mlp", "linear_bottleneck_hand_type"),
    (r"pose_heads/heatmap_x", "linear_joint_2p5d_px"),
    (r"pose_heads/heatmap_y", "linear_joint_2p5d_py"),
    (r"pose_heads/heatmap_depth", "linear_joint_2p5d_dep"),
    (r"pose_heads/vectors", "linear_joint_vecs"),
    (r"pose_heads/rotations", "linear_pose"),
    (r"pose_heads/shape", "linear_shape"),
    (r"pose_heads/relative_translation", "linear_rel_trans"),
    (r"pose_heads/weak_camera", "linear_cam"),
    (r"pose_heads/object_rotation", "linear_obj_rot"),
    (r"pose_heads/object_translation", "linear_obj_rel_trans"),
    (r"pose_heads/object_left_translation", "linear_obj_left_rel_trans"),
)
"""From our modules to KypT's; what follows, such as "/dense0", is translated by the kind of layer."""


def read_snapshot(path: Path) -> StateDict:
    """Read a snapshot's state dict, with the decoder's names as they are today.

    Raises:
        ValueError: the file can't be read, is damaged, or holds no state dict.
    """
    return with_present_names(read_state_dict(path))


def with_present_names(state: StateDict) -> StateDict:
    """Rename the decoder of older snapshots: `decoder_net.X` is `decoder_net.resnet_decoder.X` today.

    Keypoint Transformer's own loader does the same (common/base.py, `Trainer.load_model`, `Tester._make_model`).
    """
    return {re.sub(OLD_DECODER, f"{DECODER}.", name): array for name, array in state.items()}


def kind_of(state: StateDict, path: Path) -> Kind:
    """Return which of the released kinds a state dict is.

    Raises:
        ValueError: none of them.
    """
    kind = next((kind for kind in KINDS if kind.marker in state), None)
    if kind is None:
        raise ValueError(
            f"{path} is no Keypoint Transformer of a released kind: it has none of the arrays "
            f"{[kind.marker for kind in KINDS]}; it begins with {sorted(state)[:5]}"
        )
    return kind


def model_config(state: StateDict, kind: Kind, mano: Path | None = None) -> ModelConfig:
    """Return the configuration of our network that is the file's network.

    Sizes that the released kinds share are KypT's and stay checked by the arrays' shapes; depths are counted.

    Args:
        state: of the file.
        kind: of it.
        mano: folder of the user's MANO files, that the angles kind needs.

    Raises:
        ValueError: the kind needs MANO's files, and they are not given.
    """
    with_object = "linear1_obj.layers.0.weight" in state
    big = f"{DECODER}.conv0d.0.weight" not in state
    return ModelConfig(
        input_normalisation="unit",
        backbone="resnet50",
        batch_norm="affine_frozen",
        neck="unet_big" if big else "unet",
        ciet="off",
        with_object=with_object,
        max_joint_keypoints=50 if with_object else 100,
        max_object_keypoints=50,
        object_token_mlp=(1024, 512, 256) if big else (512, 256, 256),
        encoder_layers=_depth(state, "encoder"),
        decoder_layers=_depth(state, "decoder"),
        representation=kind.representation,
        **(_hand(mano) if kind is ANGLES else {}),
        joints_2d_head=False,
        weak_camera_head=True,
        visibility_head=False,
        hand_presence="tokens",
        left_object_translation="linear_obj_left_rel_trans.layers.0.weight" in state,
    )


def _hand(mano: Path | None) -> dict[str, Any]:
    """Set KypT's angles: from MANO's mean pose, joints by InterHand2.6M's regressor where it lies beside MANO's
    files.
    """
    if mano is None:
        raise ValueError(
            "a Keypoint Transformer of the angles kind poses MANO's hands: name the folder of MANO_RIGHT.pkl and "
            f"MANO_LEFT.pkl with --mano (and put Keypoint Transformer's {REGRESSOR_FILE} there, for its very joints)"
        )
    joints = "interhand" if (mano / REGRESSOR_FILE).is_file() else "manopth"
    return {"hand_model": str(mano), "hand_joints": joints, "rotation_form": "axis_angle_from_mean"}


def variables_of(state: StateDict, kind: Kind, like: PyTree[Any], path: Path) -> PyTree[Any]:
    """Return our variables with the file's weights.

    Args:
        state: of the file.
        kind: of it.
        like: shapes of the variables of the network that `model_config` describes.
        path: of the file, for the message.

    Raises:
        ValueError: names, shapes or types are not those of the kind; all that differ are listed.
    """
    ignored = (*UNUSED, r"backbone_net\.resnet\.fc\..*", *kind.unused)
    what = f"{path} looks like a Keypoint Transformer ({kind.name}) but does not fit it"
    return converted(state, like, source_function(state), ignored, what)


def unused_arrays(state: StateDict, kind: Kind) -> list[str]:
    """Return the modules of the file that nothing is computed from, without the counters."""
    patterns = [pattern for pattern in (*UNUSED, *kind.unused) if pattern != COUNTERS]
    return sorted({name.split(".")[0] for name in state if any(re.fullmatch(pattern, name) for pattern in patterns)})


def source_function(state: StateDict) -> Callable[[str, tuple[int, ...]], Source]:
    """Return a function from the path and shape of one of our arrays to its source in a file."""
    head = f"{DECODER}.convOut_hm" if any(name.startswith(f"{DECODER}.convOut_hm.") for name in state) else ""
    head = head or f"{DECODER}.convOut"
    hidden = sum(name.startswith(f"{head}.") and name.endswith("running_mean") for name in state)

    def source(path: str, shape: tuple[int, ...]) -> Source:
        if path.startswith(("params/backbone/", "batch_stats/backbone/")):
            source = backbone_source(path.replace("backbone/", "", 1), shape)
            return dataclasses.replace(source, name=f"backbone_net.resnet.{source.name}")
        if path == "params/decoder/queries":
            return _queries(shape, is_angles=ANGLES.marker in state)
        _, *modules, leaf = path.split("/")
        module = _translated("/".join(modules)).format(head=head)
        role = module.rsplit("/", 1)[-1]
        if role in ("query", "key", "value", "out") and "attn" in module:
            return heads_source(module.rsplit("/", 1)[0], leaf, shape, role)
        if re.fullmatch(r".*\.deconv\d", module):
            return Source(
                f"{module}.0.weight", (*shape[2:], *shape[:2]), lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
            )
        return array_source(_numbered(module, hidden), leaf, shape)

    return source


def _queries(shape: tuple[int, ...], *, is_angles: bool) -> Source:
    if not is_angles:
        return Source("query_embed.weight", shape, lambda array: array)
    return Source("query_embed.weight", (shape[0] + 1, shape[1]), lambda array: np.delete(array, UNUSED_QUERY, axis=0))


def _translated(module: str) -> str:
    """Return KypT's name of one of our modules, as far as `MODULES` goes."""
    for ours, theirs in MODULES:
        match = re.match(f"{ours}(?=/|$)", module)
        if match:
            return match.expand(theirs) + module[match.end() :]
    raise ValueError(f"the network's part {module} has no counterpart in Keypoint Transformer")


def _numbered(module: str, hidden: int) -> str:
    """Return layers by their number in PyTorch's containers: MLPs, convolution with BatchNorm, heads of several of
    them.
    """
    module = re.sub(r"/dense(\d+)$", r".layers.\1", module)
    module = re.sub(r"/out$", f".{3 * hidden}", module)
    module = re.sub(r"/conv(\d)/conv$", lambda match: f".{3 * int(match[1])}", module)
    module = re.sub(r"/conv(\d)/norm/bn$", lambda match: f".{3 * int(match[1]) + 1}", module)
    return module.replace("/conv", ".0").replace("/norm/bn", ".1")


def _depth(state: StateDict, part: str) -> int:
    """Return how many layers the file's encoder or decoder has."""
    numbers = {name.split(".")[3] for name in state if name.startswith(f"transformer.{part}.layers.")}
    return len(numbers)

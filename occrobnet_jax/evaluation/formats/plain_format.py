"""The plain format for predictions of any program: one JSON object, or an .npz file of the same entries."""

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np

from occrobnet_jax.evaluation.formats.poses import Poses, poses_from
from occrobnet_jax.evaluation.formats.submission_format import OPENGL_FROM_OPENCV
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import number_array
from occrobnet_jax.files.shown import shown
from occrobnet_jax.skeleton import HO3D, INTERHAND, OPENPOSE, permutation

FORMAT = "hand-poses-1"
ORDERS = {"interhand": INTERHAND, "ho3d": HO3D, "openpose": OPENPOSE}
AXES = {"opencv": np.ones(3), "opengl": OPENGL_FROM_OPENCV}
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}

REQUIRED = {
    "format": FORMAT,
    "keys": "[n] text, the keys of the examples in the labels",
    "joints": "[n, 2, 21, 3], the right hand first, camera frame",
    "joint_order": " | ".join(ORDERS),
    "axes": " | ".join(AXES),
    "unit": " | ".join(UNITS),
}
OPTIONAL = {
    "relative_translation": "[n, 3], left wrist minus right wrist; that of the joints by default",
    "hand_probability": "[n, 2]",
    "object_rotation": "[n, 3, 3], camera from rest pose",
    "object_translation": "[n, 3], from the right wrist (the left one where it is alone)",
    "vertices": "[n, 2, 778, 3], in the frame of the joints",
}


def is_plain(content: Any) -> bool:
    """Return whether something read from a file says that it is of this format."""
    return isinstance(content, Mapping) and str(content.get("format")) == FORMAT


def plain_poses(content: Mapping[str, Any], source: AnyPath) -> tuple[list[str], Poses]:
    """Return keys and poses.

    Raises:
        ValueError: an entry is missing, unknown, or not of the shape and kind that it must be of.
    """
    unknown = sorted(content.keys() - REQUIRED.keys() - OPTIONAL.keys())
    missing = sorted(REQUIRED.keys() - content.keys())
    if unknown or missing:
        raise ValueError(f"{source}: entries missing: {missing}, unknown: {unknown}; docs/evaluation.md lists them")
    if ("object_rotation" in content) != ("object_translation" in content):
        raise ValueError(f"{source}: object_rotation and object_translation belong together")
    keys = _keys(content["keys"], source)
    order, axes, unit = (
        _chosen(content, name, choices, source)
        for name, choices in (("joint_order", ORDERS), ("axes", AXES), ("unit", UNITS))
    )
    scale = axes * unit

    def array(name: str, *shape: int) -> np.ndarray:
        return number_array(content[name], (len(keys), *shape), np.float64, name=f"{source}: {name}")

    known: dict[str, Any] = {}
    if "relative_translation" in content:
        known["step_m"] = array("relative_translation", 3) * scale
    if "hand_probability" in content:
        known["hand_probability"] = array("hand_probability", 2)
    if "object_rotation" in content:
        known["object_rotation"] = axes[:, None] * array("object_rotation", 3, 3)
        known["object_translation_m"] = array("object_translation", 3) * scale
    if "vertices" in content:
        known["vertices_m"] = array("vertices", 2, 778, 3) * scale
    joints = array("joints", 2, 21, 3)[:, :, permutation(order, INTERHAND)] * scale
    return keys, poses_from(joints, **known)


def _keys(value: Any, source: AnyPath) -> list[str]:
    keys = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str | bytes) for key in keys):
        raise ValueError(f"{source}: keys must be a list of texts")
    keys = [_text(key, source) for key in keys]
    twice, times = collections.Counter(keys).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{source}: the key {twice!r} is there twice")
    return keys


def _text(key: str | bytes, source: AnyPath) -> str:
    """Return a key as text; arrays of fixed-width bytes are what predictions.npz has."""
    try:
        return key if isinstance(key, str) else key.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: the key {shown(key)} is not UTF-8 text") from error


def _chosen(content: Mapping[str, Any], name: str, choices: Mapping[str, Any], source: AnyPath) -> Any:
    value = str(content[name])
    if value not in choices:
        raise ValueError(f"{source}: {name}={value!r} must be one of {', '.join(choices)}")
    return choices[value]

"""The look of a subject's hands: skin tone, nails, sleeve."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from occrobnet_jax.files.meshes import smooth_normals
from occrobnet_jax.hands.embedded_hand import FOREARM_BONE, load_hand

WRIST_BORDER_M = -0.03
"""Skin farther than this behind the wrist (rest pose, y) is arm, not hand: it is background in the segmentation."""

_TONES = np.array([[0.91, 0.74, 0.65], [0.83, 0.62, 0.50], [0.70, 0.49, 0.37], [0.50, 0.33, 0.24], [0.29, 0.19, 0.15]])
_PALM_TONE = np.array([0.84, 0.62, 0.53])


@dataclasses.dataclass(frozen=True)
class Subject:
    """A person: the shape and colour of both hands."""

    shape: Float[np.ndarray, " 10"]
    skin: Float[np.ndarray, "v 3"]  # what the look's `skin` makes reflectance of: in a studio that itself, linear
    gloss: float


def make_subject(rng: np.random.Generator) -> Subject:
    """Return a random person."""
    return Subject(sample_shape(rng), _skin(rng), rng.uniform(0.03, 0.14))


def sample_shape(rng: np.random.Generator) -> Float[np.ndarray, " 10"]:
    """Return weights of MakeHuman's ten right-hand morph targets, in their order."""
    shape = np.zeros(10)
    for less, more, low, high in ((0, 1, 0.35, 0.35), (2, 3, 0.5, 0.5), (4, 5, 0.12, 0.08), (6, 7, 0.32, 0.16)):
        amount = rng.uniform(-low, high)
        shape[less if amount < 0 else more] = abs(amount)
    return shape.astype(np.float32)


def _skin(rng: np.random.Generator) -> np.ndarray:
    at = rng.uniform(0, len(_TONES) - 1)
    low = min(int(at), len(_TONES) - 2)
    tone = (1 - at + low) * _TONES[low] + (at - low) * _TONES[low + 1]
    tone = np.clip(tone + rng.normal(0, 0.02, 3), 0.05, 0.98)
    palm, redness = _palm_and_redness()
    paleness = 0.25 + 0.5 * at / (len(_TONES) - 1)  # palms differ from the back more the darker the skin
    color = tone + (paleness * palm)[:, None] * (_PALM_TONE * rng.uniform(0.75, 1.05) - tone)
    color = color * (1 - (redness * rng.uniform(0.1, 0.5))[:, None] * np.array([0.0, 0.25, 0.25]))
    spots = np.sin(load_hand().models[0].skin.rest_m * rng.uniform(80, 260, 3) + rng.uniform(0, 6, 3)).prod(-1)
    color = color * (1 + 0.05 * spots[:, None])
    nail = load_hand().nail[:, None]
    color = color + 0.8 * nail * (np.clip(0.55 * tone + [0.42, 0.3, 0.29], 0, 1) - color)
    return (np.clip(color, 0.02, 1) ** 2.2).astype(np.float32)


@functools.cache
def _palm_and_redness() -> tuple[np.ndarray, np.ndarray]:
    """Return how much each vertex belongs to the palm side, and how red it is (fingertips and knuckles)."""
    asset = load_hand()
    model = asset.models[0]
    normal = vertex_normals(model.skin.rest_m, model.faces)
    palm = np.clip((normal[:, 2] + 0.15) / 0.5, 0, 1)
    palm = palm * (1 - model.skin.weights[:, FOREARM_BONE])
    distance = np.linalg.norm(model.skin.rest_m[:, None] - model.joints.rest_m[:20], axis=-1)
    return palm, np.exp(-((distance.min(1) / 0.012) ** 2))


def vertex_normals(verts_m: Float[np.ndarray, "v 3"], faces: np.ndarray) -> Float[np.ndarray, "v 3"]:
    """Smooth outward normals of the right (or left) hand's skin, also across its texture seams."""
    return smooth_normals(verts_m, faces, load_hand().weld)

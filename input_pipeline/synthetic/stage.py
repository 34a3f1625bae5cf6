"""A scene as one set of triangles, ready for rays."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from input_pipeline.synthetic.raycast import RayCaster
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.skin import Subject, vertex_normals
from input_pipeline.synthetic.visibility import OBJECT, PROP
from occrobnet_jax.hands.embedded_hand import load_hand

NORMAL, SKIN, REST, GLOSS = slice(0, 3), slice(3, 6), slice(6, 9), 9
"""Columns of a stage's attributes."""
REST_Y = 7


@dataclasses.dataclass(frozen=True)
class Prop:
    """Something else in the camera's frame, with a surface like that of skin; no label knows of it."""

    verts_m: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    skin: Float[np.ndarray, "v 3"]  # as a subject's
    gloss: float
    owner: int = PROP
    rest_m: Float[np.ndarray, "v 3"] | float = 0.0  # where a hand's skin would be in rest pose, if it belongs to one


@dataclasses.dataclass(frozen=True)
class Stage:
    """All triangles of a scene, with what shading needs at each vertex, and the ray caster over them."""

    verts_m: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    owner: Int[np.ndarray, " f"]
    attributes: Float[np.ndarray, "v 10"]
    openness: Float[np.ndarray, " v"]  # share of the hemisphere above a vertex that nothing near covers
    hand_verts: tuple[slice, ...]  # vertices of each of the scene's hands
    caster: RayCaster


def build_stage(scene: Scene, subject: Subject, props: Sequence[Prop] = ()) -> Stage:
    """Put the scene's meshes together."""
    verts, attributes = [np.zeros((0, 3), np.float32)], [np.zeros((0, GLOSS + 1), np.float32)]
    faces, owners = [np.zeros((0, 3), np.int32)], [np.zeros(0, int)]
    spans, count = [], 0
    for hand in scene.hands:
        model = load_hand().models[hand.side]
        skin, rest = hand.verts_m.astype(np.float32), model.skin.rest_m
        normals = vertex_normals(skin, model.faces)
        verts.append(skin)
        attributes.append(np.column_stack([normals, subject.skin, rest, np.full(len(skin), subject.gloss)]))
        faces.append(model.faces + count)
        owners.append(np.full(len(model.faces), hand.side))
        spans.append(slice(count, count + len(skin)))
        count += len(skin)
    if scene.solid is not None:
        solid = scene.solid
        normals = solid.normals @ scene.object_rotation.T
        verts.append(scene.object_verts_m())
        attributes.append(np.column_stack([normals, np.ones_like(normals), solid.verts_m, np.zeros(len(normals))]))
        faces.append(solid.faces + count)
        owners.append(np.full(len(solid.faces), OBJECT))
        count += len(solid.verts_m)
    for prop in props:
        verts.append(prop.verts_m)
        rest, gloss = np.broadcast_to(prop.rest_m, prop.verts_m.shape), np.full(len(prop.verts_m), prop.gloss)
        attributes.append(np.column_stack([prop.normals, prop.skin, rest, gloss]))
        faces.append(prop.faces + count)
        owners.append(np.full(len(prop.faces), prop.owner))
        count += len(prop.verts_m)
    verts_m, all_faces = np.concatenate(verts).astype(np.float32), np.concatenate(faces)
    caster = RayCaster(verts_m, all_faces)
    return Stage(
        verts_m,
        all_faces,
        np.concatenate(owners),
        np.concatenate(attributes).astype(np.float32),
        np.ones(len(verts_m), np.float32),
        tuple(spans),
        caster,
    )

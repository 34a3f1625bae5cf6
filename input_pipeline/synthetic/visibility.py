"""What hides a joint, and how much of it can be seen.

A joint lies inside the flesh, so it is judged by the skin around it: the rest-pose skin vertices within 1.45 local
radii of the joint, where the local radius is the mean distance to the eight nearest vertices (at least 5 mm), taken on
the back and on the palm's side by itself. Those of them that face the camera in the posed hand (all, if none does) are
tested with a ray from the camera each. `visible_share` is the share of them that is seen, inside the image. A joint
whose projection lies outside the image is "outside". Else it is "visible" if at least half of them are seen, and
otherwise takes the name of what hides most of them: the own hand (its arm and sleeve too), the other hand, or the
object.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from input_pipeline.synthetic.raycast import RayCaster
from occrobnet_jax.files.meshes import Mesh
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS, VISIBILITY

OBJECT = 2
"""Owner number of the object's triangles; those of the hands are 0 (right) and 1 (left)."""
PROP = 3
"""Owner number of everything else; what it hides counts as hidden by an object."""

VISIBLE_SHARE = 0.5
_TOLERANCE = 0.003
"""Relative distance within which a hit is the vertex itself."""

_VISIBLE, _OUTSIDE = VISIBILITY.index("visible"), VISIBILITY.index("outside")
_HIDDEN_BY = [VISIBILITY.index(name) for name in ("own_hand", "other_hand", "object")]


@dataclasses.dataclass(frozen=True)
class Skin:
    """The skin of a posed hand in the camera's frame."""

    verts_m: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "v 3"]  # outward
    joint_verts: Sequence[Int[np.ndarray, " _"]]  # around each joint, see `skin_around_joints`


@dataclasses.dataclass(frozen=True)
class Scene:
    """Everything that may hide something, in the camera's frame."""

    caster: RayCaster
    vertices: Float[np.ndarray, "v 3"]
    triangle_owner: Int[np.ndarray, " f"]  # 0 right hand, 1 left hand, `OBJECT`


def make_scene(skins: Mapping[int, Skin], solid: Mesh | None) -> Scene:
    """Return the scene of the hands that are there (0 right, 1 left) and the object, if there is one."""
    meshes = {hand: Mesh(skin.verts_m, skin.faces) for hand, skin in skins.items()}
    if solid is not None:
        meshes[OBJECT] = solid
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes.values())])
    faces = np.concatenate([mesh.triangles + start for mesh, start in zip(meshes.values(), starts, strict=False)])
    owner = np.repeat(list(meshes), [len(mesh.triangles) for mesh in meshes.values()])
    vertices = np.concatenate([mesh.vertices for mesh in meshes.values()])
    return Scene(RayCaster(vertices, faces), vertices, owner)


def scene_visibility(
    scene: Scene,
    skins: Mapping[int, Skin],
    joint_inside: Bool[np.ndarray, "2 21"],
    intrinsics: Float[np.ndarray, "3 3"],
    size_px: tuple[int, int],
) -> tuple[Int[np.ndarray, "2 21"], Float[np.ndarray, "2 21"]]:
    """Return the visibility class and visible share of all joints of a scene; 0 for a hand that isn't there.

    Args:
        scene: of `skins` and whatever else hides.
        skins: of the hands that are there; 0 right, 1 left.
        joint_inside: which joints lie inside the image.
        intrinsics: of the camera.
        size_px: width and height of the image.
    """
    classes, share = np.zeros((NUM_HANDS, NUM_JOINTS), int), np.zeros((NUM_HANDS, NUM_JOINTS))
    for hand, skin in skins.items():
        classes[hand], share[hand] = joint_visibility(
            scene.caster, scene.triangle_owner, hand, skin, joint_inside[hand], intrinsics, size_px
        )
    return classes, share


def scene_masks(
    scene: Scene, intrinsics: Float[np.ndarray, "3 3"], size_px: tuple[int, int], reduction: int
) -> UInt8[np.ndarray, "h w"]:
    """Return what each pixel of a smaller image shows: 0 nothing of the scene, 1 right hand, 2 left hand, 3 object.

    Args:
        scene: hands and object, in front of the camera.
        intrinsics: of the camera.
        size_px: width and height of the photo.
        reduction: how many times smaller the image is; its pixels are judged by their centers.
    """
    cells = np.array(size_px) // reduction
    step = np.array(size_px) / cells
    pixels = scene.vertices @ intrinsics.T
    places = (pixels[:, :2] / pixels[:, 2:] + 0.5) / step - 0.5
    low = np.clip(np.floor(places.min(0)), 0, cells).astype(int)
    high = np.clip(np.ceil(places.max(0)) + 1, low, cells).astype(int)
    rows, columns = (grid.ravel() for grid in np.mgrid[low[1] : high[1], low[0] : high[0]])
    labels = np.zeros((cells[1], cells[0]), np.uint8)
    if len(rows):
        photo_px = (np.stack([columns, rows], axis=-1) + 0.5) * step - 0.5
        rays = np.column_stack([photo_px, np.ones(len(rows))]) @ np.linalg.inv(intrinsics).T
        triangle = scene.caster.nearest(np.zeros_like(rays), rays).triangle
        labels[rows, columns] = np.where(triangle >= 0, scene.triangle_owner[triangle] + 1, 0)
    return labels


def joint_visibility(
    caster: RayCaster,
    triangle_owner: Int[np.ndarray, " f"],
    owner: int,
    skin: Skin,
    joint_inside: Bool[np.ndarray, " 21"],
    intrinsics: Float[np.ndarray, "3 3"],
    size_px: tuple[int, int],
) -> tuple[Int[np.ndarray, " 21"], Float[np.ndarray, " 21"]]:
    """Return the visibility class (skeleton.VISIBILITY) and visible share of one hand's joints.

    Args:
        caster: the scene, camera at the origin.
        triangle_owner: for each triangle 0 right hand, 1 left hand, 2 object.
        owner: which of these the hand is.
        skin: of the hand.
        joint_inside: which of its joints lie inside the image.
        intrinsics: of the camera.
        size_px: width and height of the image.
    """
    groups = skin.joint_verts
    rows = np.concatenate(groups)
    joint = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    points = skin.verts_m[rows]
    facing = (skin.normals[rows] * points).sum(-1) < 0
    facing |= np.bincount(joint[facing], minlength=len(groups))[joint] == 0
    hits = caster.nearest(np.zeros_like(points), points)
    hider = np.where(hits.distance_m < 1 - _TOLERANCE, triangle_owner[hits.triangle], -1)
    inside = inside_image(points, intrinsics, size_px)

    def count(mask: np.ndarray) -> np.ndarray:
        return np.bincount(joint[facing & mask], minlength=len(groups))

    faced = np.maximum(count(np.ones_like(facing)), 1)
    share = count((hider < 0) & inside) / faced
    others = 1 - owner
    blame = np.stack([count(hider == owner), count(hider == others), count(hider >= OBJECT)])
    seen = count(hider < 0) / faced
    classes = np.where(seen >= VISIBLE_SHARE, _VISIBLE, np.array(_HIDDEN_BY)[blame.argmax(0)])
    return np.where(joint_inside, classes, _OUTSIDE), share


def inside_image(
    points_m: Float[np.ndarray, "p 3"], intrinsics: Float[np.ndarray, "3 3"], size_px: tuple[int, int]
) -> Bool[np.ndarray, " p"]:
    """Return whether points of the camera's frame are projected into the image, of which pixel 0 begins at -0.5."""
    in_front = points_m[:, 2] > 0
    pixels = points_m @ intrinsics.T
    pixels = pixels[:, :2] / np.where(in_front, pixels[:, 2], 1.0)[:, None]
    return ((pixels >= -0.5) & (pixels < np.array(size_px) - 0.5)).all(-1) & in_front

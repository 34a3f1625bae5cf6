"""What hides a joint on real photos, and the masks of hands and object, both from MANO fits and meshes.

What hides a joint is told by the definition of the synthetic set (`visibility`).

A frame's labels are known only if everything that its annotation speaks of has a mesh: a hand without a fit, or an
object without a model, could hide what the others would leave visible. Arms, sleeves and what stands around are in no
annotation; MANO ends at the wrist. A fit whose joints don't lie by the annotated ones counts as none.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from input_pipeline.manifest_file import file_facts
from input_pipeline.schema import Example
from input_pipeline.synthetic.raycast import RayCaster
from input_pipeline.synthetic.visibility import OBJECT, Skin, make_scene, scene_masks, scene_visibility
from occrobnet_jax.files.meshes import MESH_SUFFIXES, Mesh, numbered_files, read_mesh, smooth_normals
from occrobnet_jax.files.readers import decode_segmentation
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.hands.hand_model import HandModel
from occrobnet_jax.hands.mano_model import FILES, load_mano
from occrobnet_jax.hands.size import check_object_size
from occrobnet_jax.hands.skin import skin_around_joints
from occrobnet_jax.skeleton import INTERHAND, LEFT, MIDDLE_BASE, NUM_JOINTS, VISIBILITY, WRIST

WITHOUT_OCCLUSION = "what hides a joint is unknown: give your MANO files and meshes (--mano DIR --object_models DIR)"

MASK_REDUCTION = 2  # a mask has a quarter of the photo's pixels: crops of hands show about two of them per heatmap px
MOST_FIT_ERROR_M = 0.03  # mean over a hand's annotated joints; good fits lie within 10 mm of them

OBJECT_LABEL = OBJECT + 1

_UNKNOWN = VISIBILITY.index("unknown")
_INDEX_BASE, _PINKY_BASE = INTERHAND.index("index1"), INTERHAND.index("pinky1")


class Occlusion:
    """Labels frames with the user's MANO models and meshes of objects. Can be sent to another process.

    Args:
        mano: folder with MANO_RIGHT.pkl and MANO_LEFT.pkl.
        objects: folder with meshes in the dataset's rest pose, `003_cracker_box.obj` or folders of such names; None
            for datasets without objects. Of several files of an object the smallest is taken.

    Raises:
        ValueError: a file is missing or isn't what it should be, or this machine has no ray caster.
    """

    def __init__(self, mano: Path, objects: Path | None = None) -> None:
        RayCaster(np.eye(3), np.array([[0, 1, 2]]))  # says at once if there is none
        files = numbered_files(objects, MESH_SUFFIXES) if objects else {}
        self._objects = {number: min(found, key=lambda path: path.stat().st_size) for number, found in files.items()}
        for path in self._objects.values():
            _solid(path)
        self._models = load_mano(mano).models
        self._joint_verts = tuple(
            skin_around_joints(model.skin.rest_m, model.joints.rest_m, back_directions(model, hand))
            for hand, model in enumerate(self._models)
        )
        self._sha256 = {path.name: _sha256(path) for path in (mano / name for name in FILES.values())}
        self._sha256 |= {f"{number:03d}": _sha256(path) for number, path in self._objects.items()}

    @property
    def settings(self) -> dict[str, Any]:
        """What the labels depend on besides the dataset: a hash of each file, and the size of masks."""
        return {"occlusion_sha256": self._sha256, "mask_reduction": MASK_REDUCTION}

    def check(self, name: str, examples: Iterable[Example]) -> None:
        """Compare the joints of posed hands with the annotated ones, and objects with their labelled boxes.

        Args:
            name: of the dataset, for the message.
            examples: some of it; those without fits don't matter.

        Raises:
            ValueError: most fits lie elsewhere, or a mesh is much larger or smaller than its object.
        """
        errors_m = []
        for example in examples:
            self._check_object(example)
            if (error := self._fit_error_m(example)) is not None:
                errors_m.append(error)
        if errors_m and np.median(errors_m) > MOST_FIT_ERROR_M:
            raise ValueError(
                f"the MANO hands don't lie on the joints of {name}: they are {1000 * np.median(errors_m):.0f} mm away "
                f"in the median of {len(errors_m)} frames, where {1000 * MOST_FIT_ERROR_M:.0f} mm may be. See that "
                "--mano holds MANO's own files, or convert without it"
            )

    def labels(self, example: Example) -> Example:
        """Return `visibility`, `visible_share` and `segmentation` of an example that is complete but for them, else
        nothing.

        The segmentation has hands and object; where the example has one of its authors' already, see `with_object`.

        Raises:
            ValueError: the object's mesh is much larger or smaller than its box; `check` sees some frames only.
        """
        self._check_object(example)
        present = np.flatnonzero(example["hand_present"])
        solid_file = self._objects.get(int(example["object_id"]))
        lacks_object = bool(example["object_known"]) and solid_file is None
        hands_known = example["hand_present_known"] and example["hand_pose_known"][present].all()
        if not len(present) or not hands_known or lacks_object:
            return {}
        if (self._fit_error_m(example) or 0.0) > MOST_FIT_ERROR_M:
            return {}
        skins = {int(hand): self._skin(int(hand), example) for hand in present}
        scene = make_scene(skins, None if solid_file is None else _placed(_solid(solid_file), example))
        camera = example["intrinsics"].astype(np.float64), (int(example["width"]), int(example["height"]))
        classes, share = scene_visibility(scene, skins, example["joints_in_image"] > 0, *camera)
        masks = scene_masks(scene, *camera, MASK_REDUCTION)
        annotated = (example["joints_annotated"] > 0) & (example["hand_present"] > 0)[:, None]
        return {
            "visibility": np.where(annotated, classes, _UNKNOWN).astype(np.uint8),
            "visible_share": np.where(annotated, share, 0).astype(np.float32),
            "segmentation": cv2.imencode(".png", masks)[1].tobytes(),
        }

    def _fit_error_m(self, example: Example) -> float | None:
        """Return mean distance of the worse hand's annotated joints to the posed model's; None where nothing
        compares.
        """
        annotated = (example["joints_annotated"] > 0) & (example["hand_pose_known"] > 0)[:, None]
        errors_m = []
        for hand in np.flatnonzero(annotated.any(-1)).tolist():
            joints_m = self._models[hand].joints_m(*_fit(example, hand))
            distance_m = np.linalg.norm(joints_m - example["joints_cam_m"][hand], axis=-1)
            errors_m.append(float(distance_m[annotated[hand]].mean()))
        return max(errors_m, default=None)

    def _check_object(self, example: Example) -> None:
        path = self._objects.get(int(example["object_id"]))
        if example["object_known"] and path is not None:
            check_object_size(
                _solid(path).vertices, example["object_corners_rest_m"].astype(np.float64), name=str(path)
            )

    def _skin(self, hand: int, example: Example) -> Skin:
        model = self._models[hand]
        verts_m = model.verts_m(*_fit(example, hand))
        normals = smooth_normals(verts_m, model.faces, np.arange(len(verts_m)))
        return Skin(verts_m, model.faces, normals, self._joint_verts[hand])


def with_object(masks: bytes, authors: bytes) -> bytes:
    """Return the drawn masks of hands, and the object as the authors' segmentation has it, where there is one.

    Conventions of evaluation are told by the authors' object; it lies before a drawn hand, and nowhere else.

    Args:
        masks: PNG with hands and object; may be empty.
        authors: PNG with the object alone; may be empty.
    """
    if not masks or not authors:
        return authors or masks
    drawn, known = (decode_segmentation(png, name="a segmentation") for png in (masks, authors))
    known = cv2.resize(known, drawn.shape[::-1], interpolation=cv2.INTER_NEAREST)
    labels = np.where(known == OBJECT_LABEL, OBJECT_LABEL, np.where(drawn == OBJECT_LABEL, 0, drawn))
    return cv2.imencode(".png", labels.astype(np.uint8))[1].tobytes()


def _fit(example: Example, hand: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pose, shape and translation."""
    pose, shape, translation_m = (
        example[name][hand].astype(np.float64) for name in ("hand_pose", "hand_shape", "hand_translation_m")
    )
    return pose, shape, translation_m


def back_directions(model: HandModel, hand: int) -> Float[np.ndarray, "21 3"]:
    """Return the directions from a model's joints to the back of its hand, in rest pose.

    They are those of the embedded hand, turned as its palm and then as each bone has to turn to lie like the model's.
    """
    mirror = np.array([-1.0 if hand == LEFT else 1.0, 1.0, 1.0])
    known, joints = load_hand().models[hand].joints.rest_m.astype(np.float64), model.joints.rest_m
    turn = _palm_axes(joints) @ _palm_axes(known).T
    bones, known_bones = _bone_directions(joints), _bone_directions(known) @ turn.T
    axes = np.cross(known_bones, bones)
    sines, cosines = np.linalg.norm(axes, axis=-1, keepdims=True), (known_bones * bones).sum(-1, keepdims=True)
    rest = axis_angle_to_matrix(axes / np.maximum(sines, 1e-9) * np.arctan2(sines, cosines))
    return (rest @ (load_hand().joint_backs * mirror @ turn.T)[..., None])[..., 0]


def _palm_axes(joints_m: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "3 3"]:
    """Return as columns: along the middle finger, towards the thumb's side, and across both."""
    along = joints_m[MIDDLE_BASE] - joints_m[WRIST]
    along = along / np.linalg.norm(along)
    sideways = joints_m[_INDEX_BASE] - joints_m[_PINKY_BASE]
    sideways = sideways - (sideways @ along) * along
    sideways = sideways / np.linalg.norm(sideways)
    return np.stack([along, sideways, np.cross(along, sideways)], axis=-1)


def _bone_directions(joints_m: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "21 3"]:
    """Return of each joint the direction in which its finger goes on; a tip's is that of its last bone."""
    starts = np.array([joint + 1 if name[-1] == "4" else joint for joint, name in enumerate(INTERHAND)])
    ends = np.where(np.arange(NUM_JOINTS) == WRIST, MIDDLE_BASE, starts - 1)
    bones = joints_m[ends] - joints_m[starts]
    return bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-9)


def _placed(solid: Mesh, example: Example) -> Mesh:
    rotation = example["object_rotation"].astype(np.float64)
    return Mesh(solid.vertices @ rotation.T + example["object_translation_m"], solid.triangles)


@functools.lru_cache(maxsize=64)
def _solid(path: Path) -> Mesh:
    return read_mesh(path)


def _sha256(path: Path) -> str:
    digest: str = file_facts(path)["sha256"]
    return digest

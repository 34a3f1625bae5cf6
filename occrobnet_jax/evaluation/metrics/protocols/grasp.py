"""Whether hands go through the object they hold, and whether they touch it; needs MANO vertices and object meshes."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measures, pooled
from occrobnet_jax.evaluation.metrics.mesh_errors import inside, surface_distances
from occrobnet_jax.evaluation.metrics.objects import true_translation_m
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras, need
from occrobnet_jax.evaluation.metrics.protocols.depth import MM_PER_M
from occrobnet_jax.files.meshes import Mesh
from occrobnet_jax.geometry.alignment import from_right_wrist
from occrobnet_jax.hands.size import check_object_size
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST

CONTACT_MM = 5.0


@dataclasses.dataclass(frozen=True)
class Grasp(Convention):
    """Largest penetration and contact of predicted hands with the predicted object, and of the true ones."""

    @property
    def name(self) -> str:
        """`grasp/vertices`."""
        return "grasp/vertices"

    @property
    def words(self) -> str:
        """What the numbers are."""
        return (
            "after Hasson et al. (CVPR 2019): penetration is the largest depth of a hand vertex inside the object, 0 "
            f"where none is; contact is the share of frames with a vertex inside or within {CONTACT_MM:g} mm; "
            "/prediction has both predicted, /truth both true"
        )

    def rows(self, records: Records, extras: Extras) -> Bool[np.ndarray, " n"]:
        """Return the frames whose object and whose hands' meshes are known."""
        known = need(records, "vertices_known", self.name).astype(bool)
        complete = (known | ~records["hand_present"].astype(bool)).all(axis=1)
        return true_translation_m(records)[1] & complete

    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Yield penetration and contact.

        Raises:
            ValueError: an object has no closed mesh.
        """
        for who in ("prediction", "truth"):
            count = len(records["object_id"])
            rows = progress(range(count), f"grasp, {who}", count, delay_s=2.0)
            found = np.array([grasp_of(*_scene(records, row, who), _mesh(records, row, extras)) for row in rows])
            everything = np.ones(len(found), bool)
            yield f"penetration_mm/{who}", pooled(found[:, 0], everything)
            yield f"contact_share/{who}", pooled((found[:, 1] <= CONTACT_MM).astype(np.float64), everything)


PUBLISHED = (Grasp(),)


def grasp_of(
    vertices_m: Float[np.ndarray, "v 3"],
    rotation: Float[np.ndarray, "3 3"],
    translation_m: Float[np.ndarray, "3"],
    mesh: Mesh,
) -> tuple[float, float]:
    """Return the largest depth inside the object and least distance outside it (0 where a vertex is inside), mm."""
    at_rest = (vertices_m - translation_m) @ rotation
    distances = MM_PER_M * surface_distances(at_rest, mesh)
    within = inside(at_rest, mesh)
    return float(distances[within].max(initial=0.0)), float(np.where(within, 0.0, distances).min())


def _scene(records: Records, row: int, who: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the vertices of the hands that are there, and the object's pose, all seen from the reference wrist."""
    present = records["hand_present"][row].astype(bool)
    reference = RIGHT if present[RIGHT] else LEFT
    if who == "truth":
        wrist = records["root_cam_m"][row, reference].astype(np.float64)
        vertices = records["vertices_cam_m"][row].astype(np.float64) - wrist
        rotation, translation = records["object_rotation"][row], records["object_translation_m"][row] - wrist
    else:
        own = records["predicted_vertices_rel_m"][row].astype(np.float64)
        own = own - records["predicted_joints_rel_m"][row, :, WRIST : WRIST + 1].astype(np.float64)
        step = records["predicted_relative_translation_m"][row].astype(np.float64)
        vertices = from_right_wrist(own[None], step[None])[0] if present[RIGHT] else own
        rotation, translation = (records[f"predicted_object_{name}"][row] for name in ("rotation", "translation_m"))
    return vertices[present].reshape(-1, 3), rotation.astype(np.float64), translation.astype(np.float64)


def _mesh(records: Records, row: int, extras: Extras) -> Mesh:
    number = int(records["object_id"][row])
    model = extras.object_models.get(number)
    if model is None or model.mesh is None:
        raise ValueError(f"grasp/vertices needs a closed mesh (.obj or .ply) of object {number:03d} in --object_models")
    corners_m = records["object_corners_rest_m"][row].astype(np.float64)
    check_object_size(model.points_m, corners_m, name=f"the model of object {number:03d} in --object_models")
    return model.mesh

"""Rows of InterHand2.6M's tables (`interhand26m_tables`) to schema fields.

World coordinates are millimetres, X_cam = R (X_world - campos). The box of the annotations is 1.2 times the tight box
of the joints; it is stored as given.
"""

import numpy as np
from jaxtyping import Float

from input_pipeline.schema import HANDS_JOINTS, Example
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import NUM_HANDS, VISIBILITY, WRIST

METERS_PER_UNIT = 0.001


def identity_fields(annotation: np.void, image: np.void, names: dict[str, list[str]]) -> Example:
    """Return what names an example: its key is Capture/sequence/camera/frame."""
    sequence = f"Capture{image['capture']}/{names['sequence'][image['sequence']]}"
    camera = names["camera"][image["camera"]]
    return {
        "key": f"{sequence}/cam{camera}/image{image['frame']}",
        "sequence": sequence,
        "camera": camera,
        "annotation_id": annotation["id"],
        "height": image["height"],
        "width": image["width"],
    }


def annotation_fields(annotation: np.void) -> Example:
    """Return which hands there are, and the box as given, x, y, width and height turned into two corners."""
    x, y, width, height = annotation["box"]
    return {
        "hand_present": annotation["hands"],
        "hand_present_known": annotation["hands_known"],
        "labels_complete": np.uint8(1),
        "box_px": np.array([x, y, x + width, y + height], np.float32),
        "box_known": np.uint8(width > 0 and height > 0),
    }


def joint_fields(camera: np.void, moment: np.void) -> Example:
    """Return 3D joints in the camera frame under the raw 3D mask; joints outside of the mask may hold anything."""
    (fx, fy), (cx, cy) = camera["focal"], camera["centre"]
    annotated = moment["annotated"].reshape(HANDS_JOINTS)
    joints_cam_m = METERS_PER_UNIT * (moment["world_mm"] - camera["position_mm"]) @ camera["rotation"].T
    joints_cam_m = joints_cam_m.reshape(*HANDS_JOINTS, 3).astype(np.float32) * annotated[..., None]
    return {
        "intrinsics": np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32),
        "joints_cam_m": joints_cam_m,
        "joints_annotated": annotated,
        "root_cam_m": joints_cam_m[:, WRIST],
        "root_known": annotated[:, WRIST],
    }


def seen_fields(example: Example, in_image: np.ndarray) -> Example:
    """Return what follows from the 2D mask: joints inside the image, and all that is known about visibility."""
    annotated = example["joints_annotated"] > 0
    outside = annotated & (in_image == 0)
    return {
        "joints_in_image": in_image,
        "visibility": np.where(outside, VISIBILITY.index("outside"), VISIBILITY.index("unknown")).astype(np.uint8),
        "hand_box_px": hand_boxes(project(example["joints_cam_m"], example["intrinsics"]), annotated),
    }


def rootnet_fields(row: np.void) -> Example:
    """Return RootNet's box and depths of the wrists, if its file has them."""
    x, y, width, height = row["box"]
    return {
        "rootnet_box_px": np.array([x, y, x + width, y + height], np.float32),
        "rootnet_depth_m": (METERS_PER_UNIT * row["depth_mm"]).astype(np.float32),
        "rootnet_known": row["known"],
    }


def hand_boxes(joints_px: Float[np.ndarray, "2 21 2"], annotated: np.ndarray) -> Float[np.ndarray, "2 4"]:
    """Return the tight box (x0, y0, x1, y1) of each hand's annotated joints; zeros without any."""
    boxes = np.zeros((NUM_HANDS, 4), np.float32)
    for hand in np.flatnonzero(annotated.any(1)):
        points = joints_px[hand][annotated[hand]]
        boxes[hand] = np.concatenate([points.min(0), points.max(0)])
    return boxes

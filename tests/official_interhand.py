"""InterHand2.6M's official tree, generated: its folders, files and documented oddities."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.support.fake_datasets import rotation_matrix
from tests.support.official_frames import draw_dots, project_plainly, write_image
from tests.support.posed_hands import Parameters, random_parameters
from tests.tube_hand import tube_mano

Layout = Literal["code", "archives", "v0.0"]
CAMERAS = ("400012", "400264", "410001", "410053")  # 40xxxx are coloured, 41xxxx grey
SIZES_PX = {"400012": (334, 512), "400264": (512, 334), "410001": (334, 512), "410053": (512, 334)}  # width, height
CAPTURES = {"train": (0, 5), "val": (0,), "test": (1,)}
SEQUENCES = ("ROM01_No_Interaction_2_Hand", "0390_dh_touchROM")
MOMENTS = {"train": 4, "val": 2, "test": 4}  # of each sequence
FRAME_STEPS = {5: {"train": 18, "val": 6, "test": 6}, 30: {"train": 3, "val": 1, "test": 1}}
HAND_TYPES = ("right", "left", "interacting", "interacting")
BLACK = ("400012", 1)  # camera and number of the moment whose photo is black, though annotated
INVALID_WRIST = 2  # moment whose left wrist has no annotation
WITHOUT_FIT = 3  # moment that the MANO file lacks
OUTSIDE = "410053"  # camera that some joints lie outside of
SHIFT_M = np.array([0.05, -0.02, 0.65])  # of the world's origin
MISSING_MM = 1.0  # what joints without annotation mostly hold


def write_interhand(
    raw: Path,
    layout: Layout = "archives",
    fps: int = 5,
    splits: tuple[str, ...] = ("train", "val", "test"),
    times: int = 1,
) -> Path:
    """Writes the tree below `raw`, with RootNet's file of the test split and lists of human annotations."""
    images = raw / (f"InterHand2.6M_{fps}fps_batch1" if layout == "archives" else "") / "images"
    for number, split in enumerate(splits):
        contents = _split(np.random.default_rng((number, fps)), split, fps, images / split, times * MOMENTS[split])
        for kind, content in contents.items():
            _annotation_path(raw, layout, split, kind).parent.mkdir(parents=True, exist_ok=True)
            _annotation_path(raw, layout, split, kind).write_text(json.dumps(content))
        annotations = contents["data"]["annotations"]
        if split != "val":
            human = [each["id"] for each in annotations if each["id"] % 3]
            (raw / "ids").mkdir(exist_ok=True)
            (raw / "ids" / f"aid_human_annot_{split}.txt").write_text("".join(f"{each}\n" for each in human))
        if split == "test":
            (raw / "rootnet_output").mkdir()
            rate = "_30fps" if fps == 30 else ""
            name = f"rootnet_interhand2.6m_output_test{rate}.json"
            (raw / "rootnet_output" / name).write_text(json.dumps([_rootnet(each) for each in annotations[1:]]))
    return raw


def _annotation_path(raw: Path, layout: Layout, split: str, kind: str) -> Path:
    folder, mano = ("all", "MANO") if layout == "v0.0" else (split, "MANO_NeuralAnnot")
    return raw / "annotations" / folder / f"InterHand2.6M_{split}_{mano if kind == 'mano' else kind}.json"


def _split(rng: np.random.Generator, split: str, fps: int, images_dir: Path, moments: int) -> dict[str, Any]:
    contents: dict[str, Any] = {"data": {"images": [], "annotations": []}, "camera": {}, "joint_3d": {}, "mano": {}}
    for capture in CAPTURES[split]:
        cameras = {name: _camera(rng, name) for name in CAMERAS}
        contents["camera"][str(capture)] = {
            key: {name: camera[key] for name, camera in cameras.items()}
            for key in ("campos", "camrot", "focal", "princpt")
        }
        joints_3d, fits = (
            contents["joint_3d"].setdefault(str(capture), {}),
            contents["mano"].setdefault(str(capture), {}),
        )
        for sequence_number, sequence in enumerate(SEQUENCES):
            for moment in range(moments):
                frame = 1000 * (sequence_number + 1) + FRAME_STEPS[fps][split] * moment
                joints_3d[str(frame)], fits_of_both = _moment(rng, moment)
                if moment != WITHOUT_FIT:
                    fits[str(frame)] = fits_of_both
                for name, camera in cameras.items():
                    identity = {
                        "capture": capture,
                        "subject": 0,
                        "seq_name": sequence,
                        "camera": name,
                        "frame_idx": frame,
                    }
                    is_black = (name, moment) == BLACK
                    _add_image(contents["data"], identity, camera, joints_3d[str(frame)], images_dir, is_black)
    return contents


def _camera(rng: np.random.Generator, name: str) -> dict[str, Any]:
    rotation = rotation_matrix(rng.uniform(-0.3, 0.3, 3))
    aside_mm = 90.0 if name == OUTSIDE else 0.0
    width, height = SIZES_PX[name]
    position = np.array([50.0, -20.0, 1000.0]) - rotation.T @ np.array([aside_mm, 0.0, 350.0])
    return {
        "campos": position.tolist(),
        "camrot": rotation.tolist(),
        "focal": [1262.0, 1274.0],
        "princpt": [width / 2 + 3.5, height / 2 - 7.0],
    }


def _moment(rng: np.random.Generator, moment: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """3D joints in the world, mm, and their MANO fits; some joints that are not annotated hold real coordinates."""
    hand_type = HAND_TYPES[moment % len(HAND_TYPES)]
    present = np.repeat([hand_type != "left", hand_type != "right"], 21)
    posed = random_parameters(rng, tube_mano().models, spread=1.0)
    joints_m = [model.joints_m(*fit) for model, fit in zip(tube_mano().models, posed, strict=True)]
    world = 1000 * (np.concatenate(joints_m) + SHIFT_M)
    valid = present.copy()
    if moment == INVALID_WRIST:
        valid[41] = False
    if hand_type == "interacting":
        valid[5] = False  # though its coordinates are there
    labels = {
        "world_coord": np.where(present[:, None], world, MISSING_MM).astype(np.float32).tolist(),
        "joint_valid": [[bool(each)] for each in valid],
        "hand_type": hand_type,
        "hand_type_valid": True,
    }
    return labels, _fits(posed, hand_type)


def _fits(posed: list[Parameters], hand_type: str) -> dict[str, Any]:
    """MANO parameters in the world, metres, fingers relative to the mean pose; null for a hand that is not there."""
    fits: dict[str, Any] = {"right": None, "left": None}
    for hand, name in enumerate(fits):
        if hand_type in (name, "interacting"):
            pose, shape, translation_m = posed[hand]
            relative = np.concatenate([pose[:3], pose[3:] - tube_mano().mean_pose[hand]])
            fits[name] = {
                "pose": relative.tolist(),
                "shape": shape.tolist(),
                "trans": (translation_m + SHIFT_M).tolist(),
            }
    return fits


def _add_image(data: Any, identity: Any, camera: Any, moment: Any, images_dir: Path, is_black: bool) -> None:
    number = len(data["images"]) + 7
    name, (width, height) = identity["camera"], SIZES_PX[identity["camera"]]
    rotation, position = np.array(camera["camrot"]), np.array(camera["campos"])
    intrinsics = np.diag([*camera["focal"], 1.0])
    intrinsics[:2, 2] = camera["princpt"]
    world, valid = np.array(moment["world_coord"]), np.array(moment["joint_valid"])[:, 0]
    px = project_plainly((world - position) @ rotation.T, intrinsics)
    inside = valid & (px >= 0).all(-1) & (px[:, 0] < width) & (px[:, 1] < height)
    low, high = px[valid].min(0), px[valid].max(0)
    size = 1.2 * (high - low)
    file_name = f"Capture{identity['capture']}/{identity['seq_name']}/cam{name}/image{identity['frame_idx']}.jpg"
    data["images"].append({"id": number, "file_name": file_name, "width": width, "height": height} | identity)
    labels = {"bbox": [*((low + high) / 2 - size / 2).tolist(), *size.tolist()], "hand_type": moment["hand_type"]}
    labels |= {"joint_valid": [[int(each)] for each in inside], "hand_type_valid": 1}
    data["annotations"].append({"id": 100_000 + number, "image_id": number} | labels)
    photo = draw_dots(px.reshape(2, 21, 2), valid.reshape(2, 21), (width, height), grey=name.startswith("41"))
    write_image(images_dir / file_name, np.zeros_like(photo) if is_black else photo)


def _rootnet(annotation: dict[str, Any]) -> dict[str, Any]:
    x, y, width, height = annotation["bbox"]
    side = max(width, height)
    box = [x + width / 2 - side / 2, y + height / 2 - side / 2, side, side]
    return {"annot_id": annotation["id"], "bbox": box, "abs_depth": [700.0, 730.0]}

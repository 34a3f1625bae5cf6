"""Where the files of InterHand2.6M lie: as its archives unpack, or as its own code expects them.

    InterHand2.6M_{5,30}fps_batch1/images/{train,val,test}/Capture*/SEQUENCE/cam*/image*.jpg     or images/...
    annotations/{train,val,test}/InterHand2.6M_{split}_{data,camera,joint_3d[,MANO_NeuralAnnot]}.json    v1.0
    annotations/{all,human_annot,machine_annot}/InterHand2.6M_{split}_{...[,MANO]}.json                  v0.0, withdrawn
    rootnet_output/rootnet_interhand2.6m_output_{val,test}[_30fps].json                                  optional

The annotations may lie beside images/ or beside the folder that the images' archive made.
"""

import dataclasses
from pathlib import Path

import numpy as np

SPLITS = ("train", "val", "test")
FILES = ("data", "camera", "joint_3d")
SUBSETS = ("all", "human", "machine")
FRAME_RATES = (5, 30)
OLD_FOLDERS = {"all": "all", "human": "human_annot", "machine": "machine_annot"}
VERSION, OLD_VERSION = "1.0.0", "0.0.0"
FRAME_STEPS = {"train": {5: 18, 30: 3}, "val": {5: 6, 30: 1}, "test": {5: 6, 30: 1}}  # frame numbers between images


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """The files of one split; those after the first three are None where they are not there."""

    data: Path
    camera: Path
    joint_3d: Path
    mano: Path | None
    rootnet: Path | None
    human_ids: Path | None  # of annotations that people made or checked
    machine_ids: Path | None

    def present(self) -> list[Path]:
        """Return those that are there."""
        return [path for path in dataclasses.astuple(self) if path is not None]


@dataclasses.dataclass(frozen=True)
class Layout:
    """A download of InterHand2.6M."""

    version: str  # of the annotations
    images: Path  # holds a folder for each split
    splits: dict[str, SplitFiles]


def dataset_name(fps: int, subset: str) -> str:
    """Return the name of the dataset that an image set and a subset become."""
    return "interhand26m" + ("_30fps" if fps == 30 else "") + ("" if subset == "all" else f"_{subset}")


def find_layout(raw: Path, fps: int = 5, subset: str = "all", ids: Path | None = None) -> Layout:
    """Return the files of a download.

    Args:
        raw: the folder in which the archives were unpacked.
        fps: frames per second of the images that are wanted: 5 or 30.
        subset: "all" (H+M), "human" (H) or "machine" (M); v0.0 has a folder for each.
        ids: folder with aid_human_annot_{split}.txt (and perhaps aid_machine_annot_{split}.txt).

    Raises:
        ValueError: nothing of the expected layout is there, or what `subset` needs is not.
    """
    bases = [base for base in (raw, raw / f"InterHand2.6M_{fps}fps_batch1") if base.is_dir()]
    images = _only(raw, fps, [base / "images" for base in bases if (base / "images").is_dir()])
    annotations = next((base / "annotations" for base in bases if (base / "annotations").is_dir()), None)
    if annotations is None:
        raise ValueError(f"{raw} holds no folder annotations/ of InterHand2.6M")
    version, folders = _annotation_folders(annotations, subset)
    rootnet = next((base / "rootnet_output" for base in bases if (base / "rootnet_output").is_dir()), None)
    mano, rate = ("MANO" if version == OLD_VERSION else "MANO_NeuralAnnot"), ("_30fps" if fps == 30 else "")
    splits = {
        split: SplitFiles(
            data=folder / f"InterHand2.6M_{split}_data.json",
            camera=folder / f"InterHand2.6M_{split}_camera.json",
            joint_3d=folder / f"InterHand2.6M_{split}_joint_3d.json",
            mano=_optional(folder, f"InterHand2.6M_{split}_{mano}.json"),
            rootnet=_optional(rootnet, f"rootnet_interhand2.6m_output_{split}{rate}.json"),
            human_ids=_optional(ids, f"aid_human_annot_{split}.txt"),
            machine_ids=_optional(ids, f"aid_machine_annot_{split}.txt"),
        )
        for split, folder in folders.items()
    }
    splits = {split: files for split, files in splits.items() if (images / split).is_dir()}
    if not splits:
        raise ValueError(f"{images} holds none of the folders {list(folders)}; unpack the archives of the images there")
    if version == VERSION and subset != "all":
        splits = _with_ids(splits, subset, ids)
    return Layout(version, images, splits)


def check_frame_rate(images: np.ndarray, split: str, fps: int) -> None:
    """Refuse images of the other frame rate: the smallest step between frames of one camera tells them apart.

    Raises:
        ValueError: they are of the other one.
    """
    order = np.lexsort([images["frame"], images["camera"], images["sequence"], images["capture"]])
    view = images[["capture", "sequence", "camera"]][order]
    steps = np.diff(images["frame"][order])[(view[1:] == view[:-1])]
    steps = steps[steps > 0]
    other = {5: 30, 30: 5}[fps]
    if len(steps) and (steps.min() < FRAME_STEPS[split][5]) != (fps == 30):
        raise ValueError(
            f"frames of {split} are {steps.min()} apart, where {FRAME_STEPS[split][fps]} make {fps} frames per second; "
            f"pass --fps {other}"
        )


def _only(raw: Path, fps: int, found: list[Path]) -> Path:
    if len(found) != 1:
        held = f"{len(found)} of them: {[str(folder) for folder in found]}" if found else "none"
        raise ValueError(
            f"{raw} must hold one folder images/ or InterHand2.6M_{fps}fps_batch1/images/, it holds {held}"
        )
    return found[0]


def _annotation_folders(annotations: Path, subset: str) -> tuple[str, dict[str, Path]]:
    """Return the version of the annotations, and the folder of each split that is there."""
    present = {split: annotations / split for split in SPLITS if (annotations / split).is_dir()}
    if present:
        return VERSION, present
    old = annotations / OLD_FOLDERS[subset]
    present = {split: old for split in SPLITS if (old / f"InterHand2.6M_{split}_data.json").is_file()}
    if not present:
        raise ValueError(f"{annotations} holds none of the splits {list(SPLITS)}, nor {old.name}/ of the v0.0 layout")
    return OLD_VERSION, present


def _with_ids(splits: dict[str, SplitFiles], subset: str, ids: Path | None) -> dict[str, SplitFiles]:
    """Return the splits that the subset can be told apart in; val has machine annotations only."""
    kept = {
        split: files
        for split, files in splits.items()
        if files.human_ids or files.machine_ids or (split == "val" and subset == "machine")
    }
    if not kept:
        raise ValueError(
            f"subset {subset!r} of v1.0 needs the lists aid_human_annot_{{train,test}}.txt, which --ids {ids} doesn't "
            "hold; facebookresearch/InterWild publishes them"
        )
    return kept


def _optional(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None and (folder / name).is_file() else None

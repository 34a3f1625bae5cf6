"""InterHand2.6M: its official folders and JSON files (`interhand26m_layout`) to schema examples.

Licence of the data: CC-BY-NC 4.0.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from input_pipeline.convert.frame_checks import check_frames
from input_pipeline.convert.interhand26m.labels import (
    METERS_PER_UNIT,
    annotation_fields,
    identity_fields,
    joint_fields,
    rootnet_fields,
    seen_fields,
)
from input_pipeline.convert.interhand26m.layout import (
    FRAME_RATES,
    OLD_VERSION,
    SPLITS,
    SUBSETS,
    SplitFiles,
    check_frame_rate,
    dataset_name,
    find_layout,
)
from input_pipeline.convert.interhand26m.tables import Tables, build_tables, open_tables
from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.published_counts import INTERHAND26M_5FPS
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import HANDS_JOINTS, Example, empty_example
from occrobnet_jax.files.readers import read_bytes
from occrobnet_jax.hands.mano_roots import load_mano_roots
from occrobnet_jax.skeleton import NUM_HANDS


class InterHand26M:
    """A source of examples, one per annotated image.

    Args:
        raw: the folder in which the archives were unpacked.
        index: folder for the tables that the annotations become.
        fps: 5 or 30; which of the two image sets is there.
        subset: "all" (H+M), "human" (H) or "machine" (M).
        ids: folder with the lists of annotation ids that v1.0 needs for a subset.
        mano: folder with the user's MANO files; without them the fits can't be brought into the camera's frame, and
            nothing tells which joints are hidden.
        show_progress: whether to show how far reading is.

    Raises:
        ValueError: nothing of the expected layout is in `raw`, or an annotation file is damaged as a whole.
    """

    def __init__(
        self,
        raw: Path,
        index: Path,
        *,
        fps: int = 5,
        subset: str = "all",
        ids: Path | None = None,
        mano: Path | None = None,
        show_progress: bool = False,
    ) -> None:
        if fps not in FRAME_RATES or subset not in SUBSETS:
            raise ValueError(f"{fps=} must be one of {FRAME_RATES}, {subset=} one of {SUBSETS}")
        layout = find_layout(Path(raw), fps, subset, ids)
        self.version, self._images, self._files = layout.version, layout.images, layout.splits
        self._fps, self._subset = fps, subset
        if mano:
            _refuse_other_names(self._files)
        self._mano = load_mano_roots(Path(mano)) if mano else None
        self._occlusion = Occlusion(Path(mano)) if mano else None
        self._tables = {
            split: build_tables(files, subset, Path(index), show_progress=show_progress)
            for split, files in self._files.items()
        }
        for split in self._files:
            check_frame_rate(self._table(split).images, split, fps)
        self.splits = {split: len(self._table(split).annotations) for split in self._files}
        for split, count in self.splits.items():
            check_frames(f"{self.name}'s {split}", partial(self._labels, split), count, self._occlusion)

    @property
    def name(self) -> str:
        """Each image set and subset is a dataset of its own, so that they can't be taken for each other."""
        return dataset_name(self._fps, self._subset)

    @property
    def settings(self) -> dict[str, Any]:
        """Sizes of the annotation files, and what was chosen."""
        sizes = {file.name: file.stat().st_size for files in self._files.values() for file in files.present()}
        settings = {
            "annotation_bytes": sizes,
            "fps": self._fps,
            "subset": self._subset,
            "with_mano": self._mano is not None,
        }
        return settings | (self._occlusion.settings if self._occlusion else {})

    @property
    def absent_splits(self) -> Sequence[str]:
        """Splits that are not there."""
        return tuple(split for split in self.published or SPLITS if split not in self.splits)

    @property
    def published(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of v1.0 at 5 fps; those of other data are not published."""
        is_known = self._fps == 5 and self.version != OLD_VERSION and not self._by_complement()
        return INTERHAND26M_5FPS[self._subset] if is_known else {}

    @property
    def notes(self) -> Sequence[str]:
        """What is particular about these annotations."""
        notes = []
        if self.version == OLD_VERSION:
            notes.append("annotations of the withdrawn v0.0 layout: not comparable with results on v1.0")
        if self._by_complement():
            notes.append(
                "machine annotations are those that the human list lacks; published M counts have frames of both"
            )
        if not self.published:
            notes.append("no counts of these annotations are published: whether they are complete is unknown")
        notes += [note for split in self._files if (note := self._without_rootnet(split))]
        with_fits = sum(int(self._table(split).fits["known"].any(1).sum()) for split in self._files)
        if not with_fits:
            notes.append("what hides a joint is unknown: there are no MANO fits")
        elif self._mano is None:
            notes.append(
                f"MANO fits of {with_fits:,} moments are left out, and with them what hides a joint: they need your "
                "MANO files (--mano DIR)"
            )
        return notes

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split, in the order of the annotations.

        Raises:
            UnusableExample: its image or one of its annotations is missing or damaged.
        """
        image = self._table(split).images[index]
        example = self._labels(split, index)
        example["image"] = _image(self._images / split, image["file_name"].decode(), self._files[split])
        return example | (self._occlusion.labels(example) if self._occlusion else {})

    def _labels(self, split: str, index: int) -> Example:
        """Return what the annotations say."""
        tables = self._table(split)
        annotation, image = tables.annotations[index], tables.images[index]
        camera_row, moment_row = int(tables.camera_rows[index]), int(tables.moment_rows[index])
        damage = int(annotation["damage"])
        _refuse_damaged(tables, annotation=damage, repeated=index, camera=camera_row, moment=moment_row)
        _refuse_box(annotation, self._files[split])
        example = empty_example() | identity_fields(annotation, image, tables.names)
        example |= annotation_fields(annotation)
        camera, moment = tables.cameras[camera_row], tables.moments[moment_row]
        example |= joint_fields(camera, moment)
        example |= seen_fields(example, annotation["in_image"].reshape(HANDS_JOINTS))
        example |= rootnet_fields(tables.rootnet[index])
        return example | (self._fits(tables.fits[moment_row], camera) if self._mano is not None else {})

    def _table(self, split: str) -> Tables:
        return open_tables(self._tables[split])

    def _without_rootnet(self, split: str) -> str:
        """Return a sentence on the examples that RootNet's file of a split lacks; nothing where it has all or none."""
        tables = self._table(split)
        lacking = np.flatnonzero(tables.rootnet["known"] == 0)
        if len(lacking) in (0, len(tables.rootnet)):
            return ""
        first = tables.images[lacking[0]]["file_name"].decode()
        return (
            f"RootNet's file of {split} lacks {len(lacking):,} of {len(tables.rootnet):,} examples, the first {first}: "
            "what needs its boxes (data.box_source=rootnet) or depths (depth=rootnet) will refuse them; take a "
            "complete file"
        )

    def _by_complement(self) -> bool:
        files = self._files.values()
        return self._subset == "machine" and any(each.human_ids and not each.machine_ids for each in files)

    def _fits(self, fits: np.ndarray, camera: np.void) -> Example:
        """Return the MANO parameters in the camera's frame, about a flat mean."""
        assert self._mano is not None
        fields = {name: np.zeros((NUM_HANDS, size), np.float32) for name, size in _FIT_FIELDS.items()}
        for hand in np.flatnonzero(fits["known"]):
            _, pose, shape, translation_m = (np.asarray(value, np.float64) for value in fits[hand].item())
            position_m = METERS_PER_UNIT * camera["position_mm"]
            pose, translation_m = self._mano.in_camera(
                int(hand), pose, shape, translation_m, camera["rotation"], position_m
            )
            fields["hand_pose"][hand], fields["hand_shape"][hand] = pose, shape
            fields["hand_translation_m"][hand] = translation_m
        return fields | {"hand_pose_known": fits["known"].astype(np.uint8)}


_FIT_FIELDS = {"hand_pose": 48, "hand_shape": 10, "hand_translation_m": 3}


def _refuse_other_names(files: Mapping[str, SplitFiles]) -> None:
    """Refuse fits whose file has another name than the expected one, as if there were none."""
    for split, of_split in files.items():
        found = sorted(of_split.data.parent.glob(f"InterHand2.6M_{split}*MANO*.json")) if not of_split.mano else []
        if found:
            raise ValueError(
                f"{found[0]} is not the name of the fits of this version: InterHand2.6M_{split}_MANO_NeuralAnnot.json "
                "is v1.0's, ..._MANO.json v0.0's; convert without --mano, or take the files of one version"
            )


def _refuse_damaged(tables: Tables, **rows: int) -> None:
    for kind, row in rows.items():
        sentence = tables.damage[kind].get(str(row))
        if sentence is not None:
            raise UnusableExample("photo annotated twice" if kind == "repeated" else "annotation damaged", sentence)


def _refuse_box(annotation: np.void, files: SplitFiles) -> None:
    """Refuse a frame whose box has no pixel; one beside the photo stays, as the official evaluation has it."""
    if min(annotation["box"][2:]) < 1:
        raise UnusableExample(
            "no box",
            f"{files.data}: annotation {annotation['id']} has the box {annotation['box'].tolist()} (x, y, width, "
            "height), without a pixel",
        )


def _image(folder: Path, file_name: str, files: SplitFiles) -> bytes:
    path = PurePosixPath(file_name)
    if path.is_absolute() or ".." in path.parts:
        raise UnusableExample(
            "annotation damaged", f"{files.data} names the image {file_name!r}, which lies outside of its folder"
        )
    try:
        return read_bytes(folder / path)
    except ValueError as error:
        raise UnusableExample("image missing", str(error)) from error

"""What of HO-3D's and H2O-3D's official training frames is ours for validation: `val`, so that `train+val` is theirs.

The labels of their evaluation splits are not public or a download apart, and choosing checkpoints on them would spoil
them.
"""

import collections
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from input_pipeline.convert.ho3d.files import FrameList

VALIDATION_SHARE = 0.1  # of the official training frames, at least
OFFICIAL_SPLIT = {"train": "train", "val": "train", "evaluation": "evaluation"}

Frames = dict[str, list[tuple[int, tuple[str, str]]]]
"""By our split: rows of the official list, with sequence and number."""


def frames_by_split(lists: Mapping[str, FrameList]) -> Frames:
    """Return the frames of `train`, `val` and `evaluation`, each in the order of its official list; no empty split."""
    rows: Frames = {split: list(enumerate(named.frames)) for split, named in lists.items()}
    if "train" in rows:
        held_out = validation_sequences(lists["train"].frames)
        named = rows.pop("train")
        rows = {
            "train": [each for each in named if each[1][0] not in held_out],
            "val": [each for each in named if each[1][0] in held_out],
        } | rows
    return {split: frames for split, frames in rows.items() if frames}


def sequences_of(frames: Frames, split: str) -> list[str]:
    """Return the sequences of a split, sorted."""
    return sorted({sequence for _, (sequence, _) in frames.get(split, [])})


def notes_on_validation(frames: Frames) -> Sequence[str]:
    """Return what the user should know of the held-out frames."""
    held_out = sequences_of(frames, "val")
    return [f"val is ours, sequences of the official train: {', '.join(held_out)}"] if held_out else []


def validation_sequences(frames: Iterable[tuple[str, str]]) -> set[str]:
    """Return the sequences of train.txt that are held out for validation.

    A scene is a sequence's name without the digits at its end, since several cameras may have seen it: scenes are
    taken in the order of SHA-256 of their names until they have a tenth of the frames. One scene is left at least.
    """
    sizes = collections.Counter(sequence for sequence, _ in frames)
    scenes: dict[str, list[str]] = {}
    for sequence in sizes:
        scenes.setdefault(sequence.rstrip("0123456789"), []).append(sequence)
    chosen: set[str] = set()
    for scene in sorted(scenes, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:-1]:
        if sum(sizes[sequence] for sequence in chosen) >= VALIDATION_SHARE * sizes.total():
            break
        chosen |= set(scenes[scene])
    return chosen

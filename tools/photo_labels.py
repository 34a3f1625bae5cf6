"""From a teacher's 2D labels of photos to the folder that `prepare custom` reads.

    python -m tools.photo_labels photos/labels.json --output=photos_2d --most_disagreement=0.02
    python -m input_pipeline.prepare custom --raw photos_2d --data_dir data

The labels are a list with an entry for each hand: `image` (a file in images/ beside the list), `hand` ("right" or
"left"), `joints_px` (21 x 2, wrist, then thumb to pinky from base to tip), and as far as known `set` (where the photo
is from), `disagreement` (of the teacher with itself, as a share of the hand), `score`, `box` (x0, y0, x1, y1) and
`hands_in_photo`. Photos of the sets that are held out become splits of their own, all others the split "train".

A photo of which a hand was left out, or that shows more hands than are labelled, teaches nothing about other hands: not
how many there are, and not that there is no joint elsewhere.
"""

import collections
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from occrobnet_jax import command_line
from occrobnet_jax.files.readers import MEBIBYTE, lookup, read_bytes
from occrobnet_jax.skeleton import HAND_NAMES

MAX_LABELS_BYTES = 512 * MEBIBYTE

Label = Mapping[str, Any]


def main(arguments: list[str]) -> None:
    """Write what the flags say."""
    if len(arguments) != 1:
        raise ValueError("name one file of labels: python -m tools.photo_labels LABELS.json --output=DIR")
    source, output = Path(arguments[0]), Path(OUTPUT.value)
    labels = json.loads(read_bytes(source, MAX_LABELS_BYTES))
    images = custom_images(labels, MOST_DISAGREEMENT.value, tuple(HELD_OUT.value), source)
    (output / "images").mkdir(parents=True, exist_ok=True)
    for image in images:
        shutil.copyfile(source.parent / image["file"], output / image["file"])
    (output / "labels.json").write_text(json.dumps({"joint_order": "openpose", "images": images}))
    splits = collections.Counter(image["split"] for image in images)
    print(f"{len(labels)} hands, {len(images)} photos kept: {dict(sorted(splits.items()))}")
    print(f"next: python -m input_pipeline.prepare custom --raw {output} --data_dir DIR")


def custom_images(
    labels: Sequence[Label], most_disagreement: float, held_out: Sequence[str], source: Path
) -> list[dict[str, Any]]:
    """Return entries of the custom format, one a photo, of a teacher's labels.

    Args:
        labels: one entry a hand.
        most_disagreement: hands beyond are left out, and photos that have no others.
        held_out: sets that become splits of their own.
        source: names the labels, for messages.

    Raises:
        ValueError: an entry lacks what it needs, or names no hand.
    """
    of_photo: dict[str, list[Label]] = {}
    for label in labels:
        name = lookup(label, "image", source=source)
        if not isinstance(name, str) or not name or Path(name).name != name:
            raise ValueError(f"{source} names the image {name!r}, which is not the name of a file in images/")
        of_photo.setdefault(name, []).append(label)
    return [
        _image(name, hands, kept, held_out)
        for name, hands in of_photo.items()
        if (kept := _kept(hands, most_disagreement, source))
    ]


def _kept(hands: Sequence[Label], most_disagreement: float, source: Path) -> dict[str, Label]:
    """Return one hand of a side, the one that the teacher is surest of."""
    kept: dict[str, Label] = {}
    for label in sorted(hands, key=lambda label: label.get("score", 1.0)):
        side = lookup(label, "hand", source=source)
        if side not in HAND_NAMES:
            raise ValueError(f"{source}: {label['image']!r} has hand={side!r}, which must be one of {list(HAND_NAMES)}")
        if label.get("disagreement", 0.0) <= most_disagreement:
            kept[side] = label
    return kept


def _image(name: str, hands: Sequence[Label], kept: Mapping[str, Label], held_out: Sequence[str]) -> dict[str, Any]:
    group = str(hands[0].get("set", ""))
    shown = max([len(hands), *(int(label.get("hands_in_photo", 0)) for label in hands)])
    image: dict[str, Any] = {
        "file": f"images/{name}",
        "split": group if group in held_out else "train",
        "sequence": group,
        "all_hands": shown == len(kept),
    }
    boxes = [label["box"] for label in kept.values() if "box" in label]
    if len(boxes) == len(kept):
        image["box"] = [
            *(min(box[i] for box in boxes) for i in (0, 1)),
            *(max(box[i] for box in boxes) for i in (2, 3)),
        ]
    return image | {side: {"joints_px": label["joints_px"]} for side, label in kept.items()}


if __name__ == "__main__":
    OUTPUT = flags.DEFINE_string("output", None, "folder to write", required=True)
    MOST_DISAGREEMENT = flags.DEFINE_float(
        "most_disagreement", 1.0, "leave out hands beyond it, as a share of their size"
    )
    HELD_OUT = flags.DEFINE_list("held_out", ["homes_val", "letters_val"], "sets that become splits of their own")
    command_line.run(main)

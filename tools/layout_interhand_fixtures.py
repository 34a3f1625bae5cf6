"""Lays a few InterHand2.6M frames, all in one folder as public tests ship them, out as the official v1.0 tree.

Then `python -m input_pipeline.prepare interhand26m --raw OUTPUT --data_dir DIR` turns it into a dataset.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from occrobnet_jax.user_errors import exit_status

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that isn't installed

from input_pipeline.convert.interhand26m.layout import FILES
from occrobnet_jax.files.readers import lookup, read_bytes, read_json

REPOSITORY = Path(__file__).resolve().parents[1]
FLAT_NAMES = {kind: f"test_interhand2.6m_{kind}.json" for kind in FILES}


def lay_out(fixtures: Path, output: Path) -> int:
    """Write the official tree of the split "test" under `output`; return the number of images.

    The annotations are written last, so that an interrupted call leaves nothing that looks like a dataset.

    Raises:
        ValueError: a file of the fixtures is missing or damaged.
    """
    contents = {kind: read_json(fixtures / name) for kind, name in FLAT_NAMES.items()}
    source = fixtures / FLAT_NAMES["data"]
    images = lookup(contents["data"], "images", source=source)
    renamed = [image | {"file_name": official_name(image, source)} for image in images]
    for flat, official in zip(images, renamed, strict=True):
        _write(output / "images" / "test" / official["file_name"], read_bytes(fixtures / Path(flat["file_name"]).name))
    contents["data"] = contents["data"] | {"images": renamed}
    for kind, content in contents.items():
        _write(output / "annotations" / "test" / f"InterHand2.6M_test_{kind}.json", json.dumps(content).encode())
    return len(images)


def official_name(image: dict[str, Any], source: Path) -> str:
    """Return the path of an image below images/SPLIT/, from its record."""
    capture, sequence, camera, frame = (
        lookup(image, name, source=source) for name in ("capture", "seq_name", "camera", "frame_idx")
    )
    return f"Capture{capture}/{sequence}/cam{camera}/image{frame}.jpg"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def main() -> int:
    """Lay out what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("OCCROBNET_FIXTURES", REPOSITORY.parent / "shared" / "fixtures"))
    parser.add_argument("--fixtures", type=Path, default=default, help="folder that holds interhand2.6m/")
    parser.add_argument("--output", type=Path, required=True, help="raw folder for input_pipeline.prepare")
    return exit_status(_lay_out, parser.parse_args())


def _lay_out(options: argparse.Namespace) -> None:
    count = lay_out(options.fixtures / "interhand2.6m", options.output)
    print(f"{count} images in {options.output}")


if __name__ == "__main__":
    sys.exit(main())

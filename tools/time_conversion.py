"""Times the conversion of InterHand2.6M on generated annotations of any size; images are hard links of one JPEG.

    python -m tools.time_conversion --frames 100000 --folder runs/time_conversion

prints one JSON line: seconds, frames per second and core, and the memory of the largest process. `--index_only` stops
after the tables, which is where memory could grow. The folder is removed at the end.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that isn't installed

from input_pipeline.convert.interhand26m.source import InterHand26M
from input_pipeline.convert.shards import write_dataset

CAMERAS, STEP, SIZE_PX = 80, 18, (334, 512)
MOMENTS_PER_CAPTURE = 1000
LINKS_PER_FILE = 50_000  # file systems allow some 65,000
SEQUENCE = "ROM01_No_Interaction_2_Hand"


def generate(raw: Path, num_frames: int, *, photo: bytes) -> None:
    """Write the official tree of a train split with so many images, or without any where `photo` is empty."""
    rng = np.random.default_rng(0)
    images, folder = raw / "images" / "train", raw / "annotations" / "train"
    folder.mkdir(parents=True)
    images.mkdir(parents=True)
    places = [_place(number) for number in range(num_frames)]
    if photo:
        _link_images(images, places, photo)
    _write_list(folder / "InterHand2.6M_train_data.json", places)
    captures = sorted({capture for capture, _, _ in places})
    world = (rng.uniform(-80, 80, (42, 3)) + [0, 0, 1000]).astype(np.float32).tolist()
    moment = {"world_coord": world, "joint_valid": [[True]] * 42, "hand_type": "interacting", "hand_type_valid": True}
    moments: dict[str, dict[str, Any]] = {str(capture): {} for capture in captures}
    for capture, _, frame in places[::CAMERAS]:
        moments[str(capture)][str(frame)] = moment
    _write(folder / "InterHand2.6M_train_joint_3d.json", moments)
    names = [str(400000 + camera) for camera in range(CAMERAS)]
    camera = {
        "campos": [0.0, 0.0, 0.0],
        "camrot": np.eye(3).tolist(),
        "focal": [1262.0, 1274.0],
        "princpt": [167.0, 256.0],
    }
    cameras = {key: dict.fromkeys(names, value) for key, value in camera.items()}
    _write(folder / "InterHand2.6M_train_camera.json", {str(capture): cameras for capture in captures})


def _place(number: int) -> tuple[int, int, int]:
    """Capture, camera and frame of an image."""
    moment, camera = divmod(number, CAMERAS)
    return moment // MOMENTS_PER_CAPTURE, 400000 + camera, 20000 + STEP * (moment % MOMENTS_PER_CAPTURE)


def _photo(rng: np.random.Generator) -> bytes:
    """Return a JPEG of about the size of the dataset's, 18 kB: something bright in the middle, and noise around it."""
    image = rng.integers(0, 4, (SIZE_PX[1], SIZE_PX[0], 3), dtype=np.uint8)
    part = image[150:400, 80:250]
    part[:] = cv2.resize(rng.integers(0, 255, (20, 14, 3), dtype=np.uint8), part.shape[1::-1])
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()


def _name(capture: int, camera: int, frame: int) -> str:
    return f"Capture{capture}/{SEQUENCE}/cam{camera}/image{frame}.jpg"


def _link_images(folder: Path, places: Iterable[tuple[int, int, int]], photo: bytes) -> None:
    original = folder
    for number, place in enumerate(places):
        path = folder / _name(*place)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % LINKS_PER_FILE == 0:
            original = path
            original.write_bytes(photo)
        else:
            os.link(original, path)


def _write_list(path: Path, places: list[tuple[int, int, int]]) -> None:
    width, height = SIZE_PX
    fixed = {"bbox": [33.568, 164.92373657226562, 185.057861328125, 142.7256622314453], "joint_valid": [[1]] * 42}
    fixed |= {"hand_type": "interacting", "hand_type_valid": 1}
    rest = json.dumps(fixed)[1:]
    with path.open("w") as file:
        file.write('{"images": [')
        for number, (capture, camera, frame) in enumerate(places):
            record = {"id": number, "file_name": _name(capture, camera, frame), "width": width, "height": height}
            record |= {
                "capture": capture,
                "subject": 3,
                "seq_name": SEQUENCE,
                "camera": str(camera),
                "frame_idx": frame,
            }
            file.write((", " if number else "") + json.dumps(record))
        file.write('], "annotations": [')
        for number in range(len(places)):
            file.write((", " if number else "") + f'{{"id": {number}, "image_id": {number}, {rest}')
        file.write("]}")


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def measure(folder: Path, num_frames: int, num_processes: int, index_only: bool) -> dict[str, Any]:
    """Time tables and conversion; cores are counted by the processor time that was used."""
    started, used = time.perf_counter(), _processor_s()
    source = InterHand26M(folder / "raw", folder / "index")
    result: dict[str, Any] = {"frames": num_frames, "processes": num_processes}
    result |= {"index_s": round(time.perf_counter() - started, 1)}
    if not index_only:
        write_dataset(source, folder / "data", num_processes, show_progress=False)
        wall_s, processor_s = time.perf_counter() - started, _processor_s() - used
        result |= {"wall_s": round(wall_s, 1), "processor_s": round(processor_s, 1)}
        result |= {"frames_per_s": round(num_frames / wall_s), "frames_per_s_and_core": round(num_frames / processor_s)}
    memory = {who: resource.getrusage(which).ru_maxrss / 2**20 for who, which in _WHO.items()}
    return result | {f"{who}_gib": round(gib, 2) for who, gib in memory.items()}


_WHO = {"main": resource.RUSAGE_SELF, "largest_worker": resource.RUSAGE_CHILDREN}


def _processor_s() -> float:
    usages = [resource.getrusage(which) for which in _WHO.values()]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Time what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True, help="is made, and removed at the end")
    parser.add_argument("--photo", type=Path, help="JPEG of 334 x 512 px to link to; a generated one by default")
    parser.add_argument("--index_only", action="store_true")
    options = parser.parse_args()
    photo = options.photo.read_bytes() if options.photo else _photo(np.random.default_rng(0))
    photo = b"" if options.index_only else photo
    options.folder.mkdir(parents=True)
    try:
        if (pid := os.fork()) == 0:  # so that the generator's memory doesn't count
            generate(options.folder / "raw", options.frames, photo=photo)
            os._exit(0)
        os.waitpid(pid, 0)
        print(json.dumps(measure(options.folder, options.frames, options.processes, options.index_only)))
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()

"""predict.py on photos of 1280 x 720 px with a hand or two: what each takes once it runs, and its first page."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from benchmarks.results import Measurement, measurement
from benchmarks.timing import Times, alternate, repeated
from input_pipeline.synthetic.photos import SyntheticPhotos
from occrobnet_jax.files.readers import decode_image

WIDTH_PX, HEIGHT_PX, JPEG_QUALITY = 1280, 720, 90
SCENES = (0, 2, 3, 5, 6, 8, 9, 14, 15, 18, 20, 23)
"""Of the test split of `synthetic_hands_v2`: those of the first 24 in which the network in the box finds hands, 14."""

REPEATS = 4
RATE_PER_S, FIRST_PAGE_S = 25, 6.0


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds a photo, or seconds from a process's start to the page of one photo."""
    with tempfile.TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder) / "photos")
        if name == "first_page":
            return first_pages(photos[0], Path(folder), runs)
        return steady_rate(photos, Path(folder) / "results", runs)


def draw_photos(folder: Path) -> list[Path]:
    """Draw the photos: the middle rows of square pictures."""
    folder.mkdir()
    source, top_px = SyntheticPhotos(image_size_px=WIDTH_PX), (WIDTH_PX - HEIGHT_PX) // 2
    for scene in SCENES:
        pixels = decode_image(source.example("test", scene)["image"], name="picture")[top_px : top_px + HEIGHT_PX]
        jpeg = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / f"{scene:02d}.jpg").write_bytes(jpeg[1].tobytes())
    return sorted(folder.iterdir())


def steady_rate(photos: list[Path], results: Path, runs: int) -> Measurement:
    """Measure seconds a photo of files read, hands found and looked at, JSON, overlays and pictures for the page
    written; the processor's seconds are in the details.
    """
    import predict  # which reads the command line's --help

    predictor, processor_s = predict.load_predictor(), list[float]()

    def ours() -> None:
        started_s = time.process_time()
        repeated(lambda: predict.predict_images(predictor, photos, results, results), REPEATS)()
        processor_s.append(time.process_time() - started_s)

    items = REPEATS * len(photos)
    times = alternate({"ours": ours}, runs)
    times[f"{RATE_PER_S} a second"] = [items / RATE_PER_S] * runs
    details = {"processor's s/photo": float(np.median(processor_s[-runs:])) / items}
    return measurement(times, "s/photo", items, details=details)


def first_pages(photo: Path, folder: Path, runs: int) -> Measurement:
    """Measure seconds; the first start, which traces and compiles, is in the details, and the processor's seconds."""
    command = [sys.executable, "predict.py", str(photo), f"--output={folder / 'results'}"]
    environment = own_caches(os.environ, folder)
    seconds, processor_s = [], []
    for run in range(runs + 1):
        before, started_s = os.times(), time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started_s)
        after = os.times()
        processor_s.append(sum(after[2:4]) - sum(before[2:4]))
        print(f"  start {run + 1}: {seconds[-1]:.1f} s, of the processor's {processor_s[-1]:.1f} s", flush=True)
    details = {
        "first start in s": seconds[0],
        "processor's s, first start": processor_s[0],
        "processor's s/start": float(np.median(processor_s[1:])),
    }
    times = Times({"ours": seconds[1:], f"{FIRST_PAGE_S:g} s": [FIRST_PAGE_S] * runs})
    return measurement(times, "s/start", details=details)


def own_caches(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a user who has compiled nothing yet and whose Python keeps its bytecode."""
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HOME": str(folder), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}

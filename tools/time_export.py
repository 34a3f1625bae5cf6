"""Compares exported programs with the network in JAX: python -m tools.time_export LABELS.json FILE... [--count=16].

FILE is what `occrobnet_jax.inference.export` wrote of the network in the box for crops (.stablehlo or .tflite), LABELS
a list of labelled photos (tools.photo_labels), around whose first hands the crops are cut. Each program runs in a
process of its own, on one thread where its runtime can be told: it prints the size of the file, the differences from
JAX, the median of the processor's time for a crop, the time to the first answer, and the process's peak memory (Linux).
"""

import argparse
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Outputs = Mapping[str, np.ndarray]
Program = Callable[[np.ndarray, np.ndarray], Outputs]
KINDS = {
    "px": ("joints_px",),
    "m": ("joints_rel_m", "joints_cam_m"),
    "probability": ("hand_probability", "visibility_probability", "joint_confidence"),
}


class Timed(NamedTuple):
    """What one program did."""

    outputs: list[Outputs]  # of each crop
    crop_ms: float
    first_s: float
    peak_mb: float


def crops_of(labels: Path, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pictures and cameras of crops around the first labelled hands."""
    from input_pipeline.transforms import crop_example
    from occrobnet_jax.inference.focal_length import GUESSED_FOCAL_LENGTH
    from occrobnet_jax.inference.network import load_network
    from occrobnet_jax.inference.predictor import Photo, photo_example

    experiment = load_network().experiment
    crops = []
    for label in json.loads(labels.read_bytes())[:count]:
        photo, joints_px = Photo.of(labels.parent / "images" / label["image"]), np.array(label["joints_px"])
        (x0, y0), (x1, y1) = joints_px.min(0), joints_px.max(0)
        box = (float(x0), float(y0), float(x1), float(y1))
        focal_px = GUESSED_FOCAL_LENGTH * max(photo.pixels.shape)
        example = photo_example(photo.encoded, photo.pixels, photo.name, box, focal_px, experiment.data.box_scale)
        fields = crop_example(example, experiment.data, experiment.model.heatmap_stride, photo.pixels)
        crops.append((fields["image"][None], fields["intrinsics"][None]))
    return crops


def load(path: Path | None) -> Program:
    """Return a file's program, or JAX's where there is no file."""
    if path is None:
        import jax.numpy as jnp

        from occrobnet_jax.inference.predictor import load_predictor

        predictor = load_predictor()
        return lambda image, intrinsics: vars(predictor.run(jnp.asarray(image), jnp.asarray(intrinsics)))
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
        return lambda image, intrinsics: runner(image=image, intrinsics=intrinsics)
    from jax import export

    return export.deserialize(bytearray(path.read_bytes())).call


def timed(path: Path | None, crops: Sequence[tuple[np.ndarray, np.ndarray]]) -> Timed:
    """Run a program on each crop; to be called in a process of its own."""
    start_s = time.perf_counter()
    program = load(path)
    arrays(program(*crops[0]))
    first_s, outputs, seconds = time.perf_counter() - start_s, [], []
    for crop in crops:
        before_s = time.process_time()
        outputs.append(arrays(program(*crop)))
        seconds.append(time.process_time() - before_s)
    peak_kb = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak_kb is not None
    return Timed(outputs, 1e3 * float(np.median(seconds)), first_s, int(peak_kb[1]) / 1e3)


def arrays(outputs: Mapping[str, Any]) -> Outputs:
    """Return the outputs that there are, on the host."""
    return {name: np.asarray(value) for name, value in outputs.items() if value is not None}


def differences(ones: Sequence[Outputs], others: Sequence[Outputs]) -> dict[str, tuple[float, float]]:
    """Return the mean and the largest difference of each kind of output over all crops."""
    found = {}
    for kind, names in KINDS.items():
        away = [
            np.abs(one[name] - other[name]).ravel() for one, other in zip(ones, others, strict=True) for name in names
        ]
        found[kind] = float(np.concatenate(away).mean()), float(np.concatenate(away).max())
    return found


def main() -> None:
    """Print a line for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    crops, spawn = crops_of(options.labels, options.count), multiprocessing.get_context("spawn")
    in_jax: Timed | None = None
    for path in (None, *options.files):
        with spawn.Pool(1) as pool:
            said = pool.apply(timed, (path, crops))
        in_jax = in_jax or said
        apart = differences(said.outputs, in_jax.outputs)
        name = "JAX" if path is None else f"{path.name}, {path.stat().st_size / 1e6:.1f} MB"
        words = ", ".join(f"{kind} {mean:.1e} at most {most:.1e}" for kind, (mean, most) in apart.items())
        print(
            f"{name}: {words}; {said.crop_ms:.0f} ms a crop, first after {said.first_s:.1f} s, {said.peak_mb:,.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()

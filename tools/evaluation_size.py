"""What an evaluation of many rows takes: `python -m tools.evaluation_size --rows=849160 --protocol=interhand26m`.

Predictions of random hands are made in chunks, written as eval.py writes them, measured, and scored; after each part
stands its time and the largest memory that this process has had so far. InterHand2.6M's test split has 849,160 rows.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from occrobnet_jax.evaluation.formats.records import CHUNK, FACTS, LABELS, POSE, SHAPES, Records, Setting
from occrobnet_jax.evaluation.formats.records_file import arrays_sha256, open_records, save
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.metrics.scores import score_all

TOKENS = 100  # of the paper's network
ROWS_A_SEQUENCE = 2000
SIZE_PX = 256
MASKS = ("annotated", "known", "present", "valid", "in_", "is_")


def made_chunks(rows: int, seed: int = 0) -> Iterator[Records]:
    """Yield records of random hands, with every column that eval.py writes."""
    rng = np.random.default_rng(seed)
    for start in range(0, rows, CHUNK):
        yield made_records(rng, np.arange(start, min(rows, start + CHUNK)))


def made_records(rng: np.random.Generator, rows: np.ndarray) -> Records:
    """Return records of two hands of about the right size, a metre away; errors are of some centimetres."""
    count = len(rows)
    columns = {name: _column(rng, name, count) for name in (*LABELS, *FACTS, *(f"predicted_{name}" for name in POSE))}
    truth = rng.normal(0, 0.05, (count, 2, 21, 3)) + [0, 0, 1]
    own = truth + rng.normal(0, 0.01, truth.shape)
    px = rng.uniform(0, SIZE_PX, (count, 2, 21, 2))
    known = {
        "key": np.array([b"row%d" % row for row in rows], "S96"),
        "sequence": np.array([b"sequence%d" % (row // ROWS_A_SEQUENCE) for row in rows], "S96"),
        "example_index": rows.astype(np.int32),
        "intrinsics": np.tile(np.array([[1000, 0, 128], [0, 1000, 128], [0, 0, 1]], np.float32), (count, 1, 1)),
        "joints_cam_m": truth,
        "root_cam_m": truth[:, :, -1],
        "joints_px": px,
        "predicted_joints_cam_m": own,
        "predicted_joints_rel_m": own - own[:, :, -1:],
        "predicted_root_cam_m": own[:, :, -1],
        "predicted_joints_px": px + rng.normal(0, 2, px.shape),
        "visibility": rng.integers(0, 6, (count, 2, 21)).astype(np.int32),
        "rootnet_depth_m": truth[:, :, -1, 2],
        "rootnet_known": np.ones(count, bool),
        "is_black": np.zeros(count, bool),
    }
    return columns | {
        name: values.astype(np.float32) if values.dtype == float else values for name, values in known.items()
    }


def _column(rng: np.random.Generator, name: str, count: int) -> np.ndarray:
    """Return masks that hold for most, and numbers between 0 and 1."""
    slots = {"keypoints_px": (TOKENS, 2), "keypoint_valid": (TOKENS,), "keypoint_class": (TOKENS,)}
    shape = (count, *(slots.get(name.removeprefix("predicted_")) or (length or 1 for length in SHAPES[name])))
    if any(part in name for part in MASKS):
        return rng.random(shape) < 0.9
    if name.endswith(("_id", "symmetry", "class", "row")):
        return rng.integers(0, 3, shape).astype(np.int32)
    return rng.random(shape, np.float32) * (SIZE_PX if name.endswith("px") else 1)


def timed(what: str, call: Callable[[], Any]) -> Any:
    """Call, and print what it took."""
    started_s = time.monotonic()
    result = call()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(f"{what:32s}{time.monotonic() - started_s:8.1f} s, at most {peak_mb:7.0f} MB so far", flush=True)
    return result


def main() -> None:
    """Make predictions, write, measure and score them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=849_160)
    parser.add_argument("--protocol", default="interhand26m/internet")
    parser.add_argument("--folder", type=Path, help="where predictions.npz is written and removed; a temporary one")
    options = parser.parse_args()
    mean_pose = np.random.default_rng(1).normal(0, 0.05, (2, 21, 3))
    setting = Setting(SIZE_PX, mean_pose, {"representation": "2.5d", "root_depth": "own"})
    timed("start", lambda: None)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "predictions.npz"
        timed("made and written", lambda: save(path, made_chunks(options.rows), setting))
        predictions = open_records(path)
        print(f"{predictions.num_rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        metrics = timed("metrics.json", lambda: compute_metrics(predictions.chunks(), setting))
        timed("hash of all arrays", lambda: arrays_sha256(path))
        conventions = find(options.protocol)
        timed(options.protocol, lambda: score_all(predictions.chunks(), setting, conventions, Extras()))
        print(f"{len(metrics)} numbers, mpjpe_mm {metrics['mpjpe_mm']:.3f}")


if __name__ == "__main__":
    main()

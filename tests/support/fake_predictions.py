"""Predictions files on disk, ours and others', for the commands that read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.skeleton import HO3D, INTERHAND, WRIST, permutation
from tests.support.fake_records import SIZE_PX, perfect_records

SWITCHES: dict[str, Any] = {
    "dataset": "interhand26m",
    "dataset_version": "1.0.0",
    "dataset_sha256": "abc",
    "partial": [],
    "split": "test",
    "representation": "vectors",
    "box_source": "stored",
}
OPENGL = np.array([1, -1, -1])


def noisy_records(count: int = 12, seed: int = 0) -> Records:
    """Perfect records with errors of about a centimetre, three to a sequence."""
    records = perfect_records(count)
    noise = np.random.default_rng(seed).normal(0, 0.01, records["predicted_joints_rel_m"].shape)
    noise[:, :, WRIST] = 0
    for name in ("predicted_joints_rel_m", "predicted_joints_cam_m"):
        records[name] = (records[name] + noise).astype(np.float32)
    records["sequence"] = np.array([b"sequence%d" % (row // 3) for row in range(count)])
    return records


def write_predictions(path: Path, records: Records | None = None, **switches: Any) -> Path:
    records_file.save(
        path, [noisy_records() if records is None else records], Setting(SIZE_PX, None, SWITCHES | switches)
    )
    return path


def right_hands(count: int, seed: int = 0) -> Records:
    """An evaluation split of HO-3D in the middle of being shuffled: right hands of which only the wrists are known."""
    rng = np.random.default_rng(seed)
    records = noisy_records(3 * count, seed)
    records = records_of.select(records, np.flatnonzero(records["hand_present"][:, 0])[:count])
    records["hand_present"] = np.tile([True, False], (count, 1))
    records["root_known"] = records["hand_present"].copy()
    records["evaluation_row"] = rng.permutation(count).astype(np.int32)
    records["example_index"] = np.arange(count, dtype=np.int32)
    return records


def official_order(joints_m: np.ndarray) -> list:
    """Right hands as HO-3D's files hold them."""
    return (joints_m[:, permutation(INTERHAND, HO3D)] * OPENGL).tolist()


def write_ground_truth(folder: Path, records: Records) -> Path:
    """evaluation_xyz.json, evaluation_verts.json and evaluation.txt for the records, in the order of their rows."""
    order = np.argsort(records["evaluation_row"])
    joints = records["joints_cam_m"][order, 0].astype(np.float64)
    (folder / "evaluation_xyz.json").write_text(json.dumps(official_order(joints)))
    mesh = np.random.default_rng(1).normal(0, 0.05, (len(order), 778, 3)) + joints[:, :1]
    (folder / "evaluation_verts.json").write_text(json.dumps((mesh * OPENGL).tolist()))
    lines = [f"SM{row // 2}/{row:04d}" for row in range(len(order))]
    (folder / "evaluation.txt").write_text("\n".join(lines) + "\n")
    return folder

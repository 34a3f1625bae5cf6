"""The lines of docs/coming_from.md that read our data from a torch DataLoader, run as they stand there."""

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from input_pipeline.config import DataConfig
from input_pipeline.pipeline import eval_batches
from occrobnet_jax.runs.config import config_names
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.skeleton import HO3D, INTERHAND
from tests.conftest import REPOSITORY
from tests.support.fake_datasets import write_fake_dataset

TEXT = (REPOSITORY / "docs" / "coming_from.md").read_text()
CODE: list[str] = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)


class InProcess:
    """What the documented lines need of torch's DataLoader, in its order of calls."""

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool, num_workers: int, collate_fn: Any) -> None:
        self.dataset, self.batch_size, self.collate = dataset, batch_size, collate_fn

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.dataset), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(self.dataset)))
            yield self.collate([self.dataset[row] for row in rows])


def run_documented_lines(data_dir: Path) -> Any:
    (code,) = (block for block in CODE if "DataLoader" in block)
    code = code.replace('name="interhand26m", data_dir="data"', f'name="synthetic_hands", data_dir={str(data_dir)!r}')
    scope: dict[str, Any] = {}
    exec(code.replace("num_workers=8", "num_workers=0"), scope)
    return scope["loader"]


def check(batches: list[dict[str, np.ndarray]], data_dir: Path) -> None:
    """Every example once, as our own pipeline gives it."""
    data = DataConfig(data_dir=str(data_dir))
    ours = next(eval_batches(data, "train", heatmap_stride=2, global_batch_size=6))
    expected = {key: row for row, key in enumerate(ours["key"])}
    (batch,) = batches
    assert sorted(batch["key"]) == sorted(expected)
    for row, key in enumerate(batch["key"]):
        for name in ("image", "joints_cam_m", "joints_px", "hand_present"):
            np.testing.assert_array_equal(batch[name][row], ours[name][expected[key]])


def test_with_a_stand_in_for_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torch.utils.data")
    module.DataLoader = InProcess  # type: ignore[attr-defined]
    for name in ("torch", "torch.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "torch.utils.data", module)
    data_dir = write_fake_dataset(tmp_path, 6)
    check(list(run_documented_lines(data_dir)), data_dir)


def test_with_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is no dependency; with it, the documented lines run as they are")
    data_dir = write_fake_dataset(tmp_path, 6)
    check(list(run_documented_lines(data_dir)), data_dir)


def test_the_line_for_joints_of_ho3d() -> None:
    (code,) = (block for block in CODE if "theirs" in block)
    theirs = np.random.default_rng(0).normal(size=(4, 21, 3))
    scope: dict[str, Any] = {"theirs": theirs}
    exec(code, scope)
    for joint in ("ring1", "pinky1", "thumb4", "wrist"):
        expected = theirs[:, HO3D.index(joint)] * [1, -1, -1]
        np.testing.assert_array_equal(scope["ours"][:, INTERHAND.index(joint)], expected)


def test_settings_that_are_named_exist() -> None:
    known = {name.removeprefix("config.") for name in config_names(Experiment)}
    named = re.findall(r"\b((?:model|data|loss|optimizer)\.[a-z_0-9]+)", TEXT)
    assert len(named) > 30
    assert set(named) <= known, set(named) - known

import dataclasses
from pathlib import Path

import pytest

from tests.support.fake_datasets import write_fake_dataset
from tests.support.fake_runs import tiny_experiment
from tests.support.tiny import tiny_model
from tools.bins_floor import bins_floor


@pytest.mark.long
def test_twice_as_many_bins_halve_the_floor(tmp_path: Path) -> None:
    experiment = tiny_experiment(write_fake_dataset(tmp_path, 6, 64))
    coarse, fine = (
        bins_floor(
            dataclasses.replace(experiment, model=tiny_model(representation="2.5d", bins=bins)),
            experiment.data.eval_split,
        )["mpjpe_mm"]
        for bins in (256, 512)
    )
    assert 0 < fine < coarse < 3
    assert coarse / fine == pytest.approx(2, rel=0.3)


def test_only_2p5d_has_bins(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.representation=2\.5d"):
        bins_floor(tiny_experiment(tmp_path), "val")

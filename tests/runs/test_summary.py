from pathlib import Path

import pytest

from occrobnet_jax.runs.summary import prepare_workdir


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "config.json", "checkpoints", "eval", "eval/val/report.html", "tensorboard"]
)
@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_written_through_a_link_out_of_a_workdir(tmp_path: Path, name: str, is_there: bool) -> None:
    link, outside = tmp_path / "run" / name, tmp_path / "outside"
    link.parent.mkdir(parents=True)
    if is_there:
        outside.mkdir()
    link.symlink_to(outside)
    with pytest.raises(ValueError, match=f"{name} is a link to .*outside, out of the workdir"):
        prepare_workdir(tmp_path / "run")
    assert outside.exists() == is_there


def test_links_that_stay_in_the_workdir_and_a_workdir_that_is_one_are_fine(tmp_path: Path) -> None:
    (tmp_path / "run" / "eval" / "val").mkdir(parents=True)
    (tmp_path / "run" / "latest").symlink_to(tmp_path / "run" / "eval" / "val")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    prepare_workdir(tmp_path / "link")

"""Programs that are kept for the next start: what was traced once, and never another network's or another code's."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.inference import network
from occrobnet_jax.inference.kept_programs import traced_programs
from occrobnet_jax.runs import kept_programs
from occrobnet_jax.runs.calibration import Platt
from occrobnet_jax.runs.kept_programs import FOLDER
from occrobnet_jax.types import HandCells, Pose
from tests.support.fake_runs import tiny_experiment
from tests.support.tiny import INPUT_SIZE_PX

CROP = jnp.ones((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
CAMERA = jnp.eye(3)[None]


@dataclasses.dataclass(frozen=True)
class Scaler(network.Network):
    """A network that multiplies; it notes what is done to it."""

    done: list[str] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        self.done.append("checked")

    def pose(self, variables: dict, image: jax.Array, intrinsics: jax.Array) -> Pose:
        self.done.append("pose traced")
        values = dict.fromkeys((field.name for field in dataclasses.fields(Pose)), None)
        return Pose(**values | {"hand_probability": variables["scale"] * image.sum() + intrinsics[:, 0, 0]})

    def cells(self, variables: dict, image: jax.Array) -> HandCells:
        self.done.append("cells traced")
        return HandCells(variables["scale"][0] * image, image + 1, image + 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / FOLDER
    jax.config.update("jax_compilation_cache_dir", before)


def scaler(*, finder: bool = True, **changes: object) -> Scaler:
    experiment = tiny_experiment(Path("data"))
    experiment = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, finder_head=finder))
    return dataclasses.replace(Scaler(experiment, 7, "", {"scale": np.float32(3) * np.ones(2, np.float32)}), **changes)


def test_a_second_start_neither_checks_nor_traces_and_says_the_same(folder):
    first, second = scaler(), scaler()
    programs, again = traced_programs(first), traced_programs(second)
    assert first.done == ["checked", "pose traced", "cells traced"]
    assert second.done == []
    said, repeated = (made["pose"](second.variables, CROP, CAMERA) for made in (programs, again))
    assert isinstance(repeated, Pose)
    np.testing.assert_array_equal(repeated.hand_probability, said.hand_probability)
    np.testing.assert_array_equal(repeated.hand_probability, np.full(2, 3.0 * CROP.size + 1))
    assert repeated.joints_px is None
    found = again["cells"](second.variables, jnp.ones((1, 256, 256, 3), jnp.uint8))
    np.testing.assert_array_equal(found.center_px, np.full((1, 256, 256, 3), 2))


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": {"hand_probability": Platt(2.0, 0.0)}},
        {"variables": {"scale": np.ones(1, np.float32)}},
        {"variables": {"scale": np.ones(2, np.float16)}},
        {"experiment": dataclasses.replace(scaler().experiment, compute_dtype="bfloat16")},
    ],
    ids=["calibration", "shape", "type", "config"],
)
def test_a_network_that_differs_has_programs_of_its_own(folder, changes):
    traced_programs(scaler())
    other = scaler(**changes)
    traced_programs(other)
    assert other.done == ["checked", "pose traced", "cells traced"]


def test_other_code_settings_and_versions_have_programs_of_their_own(folder, monkeypatch, tmp_path):
    package = tmp_path / "package"
    (package / "models").mkdir(parents=True)
    layer = package / "models" / "layer.py"
    monkeypatch.setattr(kept_programs, "PACKAGES", (package,))
    monkeypatch.setattr(kept_programs, "_code", kept_programs._code.__wrapped__)
    traced_programs(scaler())
    layer.write_text("x")
    edited, same, renamed, later, precise = (scaler() for _ in range(5))
    traced_programs(edited)
    traced_programs(same)
    layer.rename(layer.with_name("other.py"))
    traced_programs(renamed)
    with monkeypatch.context() as patch:
        patch.setattr(kept_programs, "version", lambda library: "99")
        traced_programs(later)
    with jax.default_matmul_precision("highest"):
        traced_programs(precise)
    assert same.done == []
    assert edited.done == renamed.done == later.done == precise.done == ["checked", "pose traced", "cells traced"]


def test_a_damaged_file_is_traced_again(folder):
    traced_programs(scaler(finder=False))
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    again, third = scaler(finder=False), scaler(finder=False)
    traced_programs(again)
    traced_programs(third)
    assert (again.done, third.done) == (["checked", "pose traced"], [])


def test_nothing_is_kept_without_a_folder_nor_of_a_network_of_the_users_files(folder):
    experiment = scaler().experiment
    model = dataclasses.replace(experiment.model, hand_model="mano")
    mano = scaler(experiment=dataclasses.replace(experiment, model=model))
    assert traced_programs(mano)["pose"] == mano.pose
    jax.config.update("jax_compilation_cache_dir", None)
    assert traced_programs(scaler()).keys() == {"pose", "cells"}
    assert not folder.exists()


def test_a_file_that_can_not_be_read_is_traced_again(folder):
    traced_programs(scaler(finder=False))
    (path,) = folder.iterdir()
    path.unlink()
    path.mkdir()
    again = scaler(finder=False)
    assert traced_programs(again)["pose"](again.variables, CROP, CAMERA) is not None
    assert again.done == ["checked", "pose traced"]


def test_a_folder_that_can_not_be_written_is_no_error(folder):
    folder.write_text("in the way")
    assert traced_programs(scaler(finder=False))["pose"](scaler().variables, CROP, CAMERA) is not None


def test_arrays_of_another_network_are_refused_before_they_are_traced(folder, monkeypatch):
    def refuse(self: Scaler) -> None:
        raise ValueError("does not fit")

    monkeypatch.setattr(Scaler, "check", refuse)
    other = scaler()
    with pytest.raises(ValueError, match="does not fit"):
        traced_programs(other)
    assert other.done == []
    assert not folder.exists()

import dataclasses
import errno
import json
import math
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh, state_sharding
from occrobnet_jax.runs.checkpoint import CheckpointMeta, CheckpointWriter, read_meta
from occrobnet_jax.runs.checkpoint_folders import checkpoint_directory, checkpoint_steps
from occrobnet_jax.runs.checksums import find_damage
from occrobnet_jax.runs.restore import restore_for_inference, restore_state
from occrobnet_jax.runs.state import TrainState, leaves_by_path, state_sha256

OPTIMIZER = optax.chain(optax.identity(), optax.adam(1e-2))


def new_state(seed: int = 0, width: int = 16, averaged: bool = True) -> TrainState:
    """A state with the structure of a real one, of random numbers."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    params = {"backbone": {"kernel": drawn(8, width)}, "head": {"bias": drawn(3)}}
    average = jax.tree.map(lambda leaf: 2 * leaf, params) if averaged else None
    return TrainState(jnp.int32(0), params, {"mean": drawn(4)}, average, OPTIMIZER.init(params))


def abstract(state: TrainState, mesh: MeshConfig | None = None) -> TrainState:
    """Shapes and layouts of a state on a mesh; by default on one device."""
    devices = jax.devices()[:1] if mesh is None else jax.devices()
    placed = state_sharding(state, make_mesh(mesh or MeshConfig(), devices), 8)
    return jax.tree.map(lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s), state, placed)


def meta(step: int) -> CheckpointMeta:
    return CheckpointMeta(step, 32 * step, {"seed": 1, "model": {"token_mlp": [1, 2]}}, "abc", "id")


def save(workdir: Path, states: dict[int, TrainState], keep: int = 3) -> None:
    with CheckpointWriter(workdir, keep) as checkpoints:
        for step, state in states.items():
            checkpoints.save(state, meta(step))


def restored(workdir: Path, like: TrainState) -> tuple[TrainState, CheckpointMeta]:
    found = restore_state(workdir, like)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("run")
    save(workdir, {10: new_state(10), 20: new_state(20)})
    return workdir


@pytest.fixture
def workdir(two_checkpoints, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(two_checkpoints, tmp_path / "run")


def files_of(workdir: Path, step: int) -> list[Path]:
    return sorted(path for path in (workdir / "checkpoints" / str(step)).rglob("*") if path.is_file())


def test_what_is_restored_is_what_was_saved(two_checkpoints):
    state, restored_meta = restored(two_checkpoints, abstract(new_state()))
    assert state_sha256(state) == state_sha256(new_state(20))
    assert jax.tree.structure(state) == jax.tree.structure(new_state())  # type: ignore[operator]
    assert int(state.step) == 20
    assert restored_meta == meta(20)


def test_a_state_without_average_comes_back_without(tmp_path):
    save(tmp_path, {1: new_state(1, averaged=False)})
    state, _ = restored(tmp_path, abstract(new_state(averaged=False)))
    assert state.averaged is None
    assert state_sha256(state) == state_sha256(new_state(1, averaged=False))


def test_a_checkpoint_can_be_restored_on_other_devices(tmp_path):
    source, target = (abstract(new_state(), mesh) for mesh in (MeshConfig(2, 4), MeshConfig(4, 2)))
    placed = jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding), new_state(3), source)
    save(tmp_path, {3: placed})
    for like in (target, abstract(new_state())):
        state, _ = restored(tmp_path, like)
        assert state_sha256(state) == state_sha256(new_state(3))
        for leaf, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True):
            assert leaf.sharding == wanted.sharding


def test_memory_given_away_after_saving_is_saved_as_it_was(tmp_path):
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    state = jax.tree.map(lambda leaf: jnp.tile(leaf, 50_000) if leaf.ndim == 1 else leaf, new_state())
    expected = state_sha256(state)
    with CheckpointWriter(tmp_path, 1) as checkpoints:
        checkpoints.save(state, meta(1))
        for _ in range(5):
            state = step(state)
    kept, _ = restored(tmp_path, abstract(state))
    assert state_sha256(kept) == expected


@pytest.mark.parametrize("note", ["", "[]", "{"])
def test_damage_to_the_notes_of_orbax_stops_nothing(workdir, note):
    for step in (10, 20):
        (workdir / "checkpoints" / str(step) / "_CHECKPOINT_METADATA").write_text(note)
    save(workdir, {30: new_state(30)})
    assert checkpoint_steps(workdir) == [10, 20, 30]


def test_only_the_newest_checkpoints_stay(tmp_path):
    save(tmp_path, {step: new_state(step) for step in (1, 2, 3)}, keep=2)
    assert checkpoint_steps(tmp_path) == [2, 3]


def test_the_periodic_and_the_best_stay_as_well_also_after_a_restart(tmp_path):
    errors_mm = {1: 9.0, 2: 3.0, 3: 8.0, 4: 7.0, 5: 6.0, 6: 5.0}
    for steps in ((1, 2, 3), (4, 5, 6)):
        with CheckpointWriter(tmp_path, 1, every_steps=4, best="mpjpe_mm") as checkpoints:
            for step in steps:
                checkpoints.save(new_state(step), meta(step))
                checkpoints.keep_metrics(step, {"mpjpe_mm": errors_mm[step], "loss": math.nan})
    assert checkpoint_steps(tmp_path) == [2, 4, 6]
    assert read_meta(checkpoint_directory(tmp_path, 2)).metrics == {"mpjpe_mm": 3.0}
    assert find_damage(checkpoint_directory(tmp_path, 2)) == []


def test_a_checkpoint_that_was_evaluated_before_it_was_saved_keeps_its_metrics(tmp_path):
    """As those of version 0.1 were."""
    save_with_metrics = dataclasses.replace(meta(1), metrics={"mpjpe_mm": 3.0})
    with CheckpointWriter(tmp_path, 1, best="mpjpe_mm") as checkpoints:
        checkpoints.save(new_state(1), save_with_metrics)
        checkpoints.save(new_state(2), dataclasses.replace(meta(2), metrics={"mpjpe_mm": 4.0}))
        checkpoints.save(new_state(3), meta(3))
    assert checkpoint_steps(tmp_path) == [1, 3]


def test_a_damaged_number_makes_no_checkpoint_the_best(tmp_path):
    errors_mm = {1: 3.0, 2: 8.0, 3: 7.0, 4: 6.0}
    for steps in ((1, 2, 3), (4,)):
        with CheckpointWriter(tmp_path, 2, best="mpjpe_mm") as checkpoints:
            for step in steps:
                checkpoints.save(new_state(step), meta(step))
                checkpoints.keep_metrics(step, {"mpjpe_mm": errors_mm[step]})
        stored = tmp_path / "checkpoints" / "2" / "evaluation.json"
        if stored.exists():
            stored.write_text(stored.read_text().replace("8.0", "1.0"))
    assert checkpoint_steps(tmp_path) == [1, 3, 4]


def test_what_a_killed_save_has_left_is_removed(two_checkpoints, tmp_path):
    workdir = shutil.copytree(two_checkpoints, tmp_path / "run")
    unfinished = workdir / "checkpoints" / "30.orbax-checkpoint-tmp"
    shutil.copytree(workdir / "checkpoints" / "20", unfinished)
    save(workdir, {40: new_state(4)})
    assert checkpoint_steps(workdir) == [10, 20, 40]
    assert not unfinished.exists()


def test_a_full_disk_is_a_clear_error_that_leaves_the_others_intact(two_checkpoints, tmp_path, monkeypatch):
    workdir = shutil.copytree(two_checkpoints, tmp_path / "run")

    def full(directory: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("occrobnet_jax.runs.checkpoint.write_checksums", full)
    reason = r"step 30 can't be written .*no space left on the device.*\[10, 20\] are untouched"
    with pytest.raises(OSError, match=reason):
        save(workdir, {30: new_state(30)})
    assert [path.name for path in sorted((workdir / "checkpoints").iterdir())] == ["10", "20"]
    state, _ = restored(workdir, abstract(new_state()))
    assert state_sha256(state) == state_sha256(new_state(20))


def test_an_empty_workdir_has_nothing_to_restore(tmp_path):
    assert restore_state(tmp_path, abstract(new_state())) is None


def damage_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [damage_bit, truncate, Path.unlink])
def test_damage_to_any_file_is_noticed_and_the_checkpoint_before_is_used(workdir, harm, caplog):
    undamaged = {path: path.read_bytes() for path in files_of(workdir, 20) if path.stat().st_size}
    notes = {workdir / "checkpoints" / "20" / name for name in ("_CHECKPOINT_METADATA", "commit_success.txt")}
    for path, content in undamaged.items():
        if path in notes:
            continue  # orbax writes them after the seal, and nothing is read from them
        harm(path)
        assert restore_for_inference(workdir).step == 10, path
        assert "damaged" in caplog.text
        caplog.clear()
        path.write_bytes(content)
    assert restore_for_inference(workdir).step == 20


def test_a_damaged_checkpoint_is_put_aside_so_that_its_step_can_be_saved_again(workdir):
    damage_bit(files_of(workdir, 20)[-1])
    state, restored_meta = restored(workdir, abstract(new_state()))
    assert (int(state.step), restored_meta.examples_seen) == (10, 320)
    assert checkpoint_steps(workdir) == [10]
    assert (workdir / "checkpoints" / "20.damaged").is_dir()
    save(workdir, {20: new_state(21)})
    state, _ = restored(workdir, abstract(new_state()))
    assert state_sha256(state) == state_sha256(new_state(21))


def test_a_damaged_checkpoint_that_is_a_link_is_renamed_and_never_followed(workdir, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    newest, others = outside / "20", outside / "20.damaged"
    (workdir / "checkpoints" / "20").rename(newest)
    others.mkdir()
    (workdir / "checkpoints" / "20").symlink_to(newest)
    (workdir / "checkpoints" / "20.damaged").symlink_to(others)
    with pytest.raises(ValueError, match=r"there are \[10\]"):
        restore_for_inference(workdir, 20)
    restored(workdir, abstract(new_state()))
    assert newest.is_dir()
    assert others.is_dir()
    assert (workdir / "checkpoints" / "20.damaged").readlink() == newest


def test_what_is_no_checkpoint_stops_neither_a_start_nor_a_save(workdir):
    """A file, a link to itself, and numbers that Python reads but nobody writes, each under the name of a step."""
    folder = workdir / "checkpoints"
    (folder / "30").write_text("")
    (folder / "40").symlink_to(folder / "40")
    for name in ("007", "\N{FULLWIDTH DIGIT FIVE}0", "9" * 30):
        (folder / name).mkdir()
    assert restored(workdir, abstract(new_state()))[1] == meta(20)
    save(workdir, {30: new_state(30), 40: new_state(40)})
    assert checkpoint_steps(workdir) == [20, 30, 40]
    assert (folder / "007.damaged").is_dir()


def test_an_older_checkpoint_that_is_a_link_is_put_aside_and_its_target_stays(workdir, tmp_path):
    outside = tmp_path / "outside"
    (workdir / "checkpoints" / "10").rename(outside)
    (workdir / "checkpoints" / "10").symlink_to(outside)
    restored(workdir, abstract(new_state()))
    save(workdir, {30: new_state(30), 40: new_state(40), 50: new_state(50)}, keep=2)
    assert checkpoint_steps(workdir) == [40, 50]
    assert (outside / "checksums.json").is_file()


def test_a_file_of_a_checkpoint_that_is_a_link_is_damage(workdir, tmp_path):
    directory = workdir / "checkpoints" / "20"
    for name in ("meta/metadata", "variables"):
        (directory / name).rename(tmp_path / "outside")
        (directory / name).symlink_to(tmp_path / "outside")
        assert "is a link" in find_damage(directory)[0]
        (directory / name).unlink()
        (tmp_path / "outside").rename(directory / name)
    assert find_damage(directory) == []


@pytest.mark.parametrize(
    "change",
    [
        {"step": "20"},
        {"step": True},
        {"config": []},
        {"run": ["rm"]},
        {"git_sha": {}},
        {"metrics": []},
        "[]",
        "{",
        "[" * 9999,
    ],
)
def test_metadata_of_other_types_are_one_sentence(workdir, change):
    path = workdir / "checkpoints" / "20" / "meta" / "metadata"
    path.write_text(change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="meta/metadata is"):
        read_meta(workdir / "checkpoints" / "20")


def test_a_damaged_checkpoint_that_was_asked_for_is_an_error(workdir):
    damage_bit(workdir / "checkpoints" / "20" / "variables" / "_METADATA")
    with pytest.raises(ValueError, match=r"checkpoint 20 in .* is damaged: .*_METADATA has changed"):
        restore_for_inference(workdir, 20)
    damage_bit(workdir / "checkpoints" / "10" / "variables" / "_METADATA")
    reasons = r"damaged \(step 20: variables/_METADATA has changed. step 10: variables/_METADATA has changed\)"
    with pytest.raises(ValueError, match=reasons):
        restore_for_inference(workdir)
    with pytest.raises(ValueError, match=reasons):  # rather than to begin anew beside them
        restore_state(workdir, abstract(new_state()))


@pytest.mark.parametrize("seal", [b"", b"[]", b"{}", b"{", b"[" * 9999, b"\xff", b'{"../../x": ""}', None])
def test_a_broken_seal_is_damage(workdir, seal):
    path = workdir / "checkpoints" / "20" / "checksums.json"
    path.unlink()
    path.mkdir() if seal is None else path.write_bytes(seal)
    assert find_damage(path.parent)
    if seal is None:
        assert restore_for_inference(workdir).step == 10


def test_a_checkpoint_of_another_shape_names_what_differs(two_checkpoints):
    with pytest.raises(ValueError, match="does not fit the config") as error:
        restore_state(two_checkpoints, abstract(new_state(width=24)))
    assert "params/backbone/kernel: expected float32[8, 24], got float32[8, 16]" in str(error.value)
    assert "params/head" not in str(error.value)
    with pytest.raises(ValueError, match="averaged/head/bias: expected None, got float32"):
        restore_state(two_checkpoints, abstract(new_state(averaged=False)))


def test_inference_gets_the_averaged_weights_and_writes_nothing(two_checkpoints):
    before = sorted(two_checkpoints.rglob("*"))
    found = restore_for_inference(two_checkpoints)
    state = new_state(20)
    expected = {"params": state.averaged, "batch_stats": state.batch_stats}
    assert jax.tree.structure(found.variables) == jax.tree.structure(expected)  # type: ignore[operator]
    for path, leaf in leaves_by_path(found.variables).items():
        np.testing.assert_array_equal(leaf, leaves_by_path(expected)[path])
    assert (found.step, found.config) == (20, meta(20).config)
    assert sorted(two_checkpoints.rglob("*")) == before


def test_inference_finds_the_checkpoint_that_is_meant(two_checkpoints):
    assert restore_for_inference(two_checkpoints, 10).step == 10
    assert restore_for_inference(two_checkpoints / "checkpoints" / "10").step == 10
    assert restore_for_inference(str(two_checkpoints)).step == 20


def test_a_checkpoint_that_is_not_there_is_an_error_that_says_which_are(two_checkpoints, tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint of step 15 in .*; there are \[10, 20\]"):
        restore_for_inference(two_checkpoints, 15)
    with pytest.raises(ValueError, match=r"there is no folder .*nothing; name the workdir of a run"):
        restore_for_inference(tmp_path / "nothing")
    with pytest.raises(
        ValueError, match=r"there is no checkpoint in .*checkpoints; name the workdir of a run that has"
    ):
        restore_for_inference(tmp_path)


def test_metadata_are_plain_json(two_checkpoints):
    stored = json.loads((two_checkpoints / "checkpoints" / "20" / "meta" / "metadata").read_text())
    assert stored["examples_seen"] == 640

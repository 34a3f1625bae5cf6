"""Starting from another checkpoint: what is taken, what is not, and what must be allowed by name."""

import dataclasses

import jax
import numpy as np
import pytest

from occrobnet_jax.runs.model_file import write_model
from occrobnet_jax.runs.restore import checkpoint_sha256, restore_for_inference
from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training.initialize import initialize_from
from tests.runs.test_checkpoint import new_state, save


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    save(workdir, {20: new_state(20)})
    return workdir


def test_the_same_network_takes_everything(run):
    state, report = initialize_from(run, new_state(5))
    expected = new_state(20)
    for name in ("params", "averaged"):
        for got, wanted in zip(jax.tree.leaves(getattr(state, name)), jax.tree.leaves(expected.averaged), strict=True):
            np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(state.batch_stats["mean"], expected.batch_stats["mean"])
    assert int(state.step) == 0
    assert f"3 of 3 arrays taken, of step 20 (SHA-256 {checkpoint_sha256(run, 20)})" in report


def test_a_networks_file_will_do(run, tmp_path):
    file = tmp_path / "network.safetensors"
    write_model(file, restore_for_inference(run))
    state, report = initialize_from(file, new_state(5))
    kernel = new_state(20).averaged["backbone"]["kernel"]
    np.testing.assert_array_equal(state.params["backbone"]["kernel"], kernel.astype(np.float16))
    assert f"init_from={file}: 3 of 3 arrays taken, of step 20" in report


def test_only_the_named_parts_take_weights(run):
    state, report = initialize_from(run, new_state(5), parts=("backbone",))
    np.testing.assert_array_equal(state.params["backbone"]["kernel"], new_state(20).averaged["backbone"]["kernel"])
    np.testing.assert_array_equal(state.params["head"]["bias"], new_state(5).params["head"]["bias"])
    assert "in it, not used: " in report
    with pytest.raises(ValueError, match=r"no array that this network has in init_parts=\('neck',\)"):
        initialize_from(run, new_state(5), parts=("neck",))


def other_network() -> TrainState:
    """The head is missing, a neck is new, the kernel is wider."""
    state = new_state(5, width=24)
    params = {"backbone": state.params["backbone"], "neck": {"kernel": state.params["backbone"]["kernel"] + 1}}
    return dataclasses.replace(state, params=params, averaged=None)


def test_another_shape_is_an_error_that_names_all_and_the_remedy(run):
    with pytest.raises(
        ValueError, match=r"1 arrays have another shape there; parts .* config\.init_may_differ"
    ) as error:
        initialize_from(run, other_network())
    assert "params/backbone/kernel: expected [8, 24], got [8, 16]" in str(error.value)
    with pytest.raises(ValueError, match="another shape"):
        initialize_from(run, other_network(), ("back", "neck"))


@pytest.mark.parametrize("part", ["backbone", "backbone/kernel"])
def test_a_part_that_may_differ_starts_anew_and_everything_is_listed(run, part):
    state, report = initialize_from(run, other_network(), (part,))
    jax.tree.map(np.testing.assert_array_equal, state.params, other_network().params)
    np.testing.assert_array_equal(state.batch_stats["mean"], new_state(20).batch_stats["mean"])
    assert report.splitlines()[1:] == [
        "  not in it, start anew: neck/kernel (1)",
        "  of another shape, start anew: backbone/kernel (1)",
        "  in it, not used: head/bias (1)",
    ]


def test_a_part_of_the_same_shape_is_taken_though_it_may_differ(run):
    state, _ = initialize_from(run, new_state(5), ("backbone",))
    np.testing.assert_array_equal(state.params["backbone"]["kernel"], new_state(20).averaged["backbone"]["kernel"])


def test_the_checkpoint_of_another_network_is_refused(run):
    stranger = dataclasses.replace(new_state(), params={"x": np.zeros(2, np.float32)}, batch_stats={}, averaged=None)
    with pytest.raises(ValueError, match="has no array that this network has"):
        initialize_from(run, stranger)

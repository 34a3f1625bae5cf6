"""The hooks change the gates and nothing else, and attention is counted where it goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.metrics.measures import Tally
from occrobnet_jax.models.ciet import Ciet
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.skeleton import ARMS, VISIBILITY
from tests.support.fake_records import SIZE_PX, arm_records, spoiled
from tests.support.tiny import tiny_model
from tools import ciet_causes
from tools.ciet_causes import CHANGES, attention_measures, changed_gates, exchanged, kept_weights

CONFIG = tiny_model(ciet_gate="mean", ciet_init_std=1.0)


@functools.cache
def network():
    """CIET alone, on 16 cells, and a batch for it."""
    features = jax.random.normal(jax.random.key(0), (4, 4, 4, 16))
    model = Ciet(CONFIG)
    return model, model.init(jax.random.key(1), features, train=False), features


def applied(change=None):
    model, variables, features = network()
    if change is None:
        return model.apply(variables, features, train=False).features
    with changed_gates(change):
        return model.apply(variables, features, train=False).features


def test_unchanged_gates_change_nothing():
    np.testing.assert_array_equal(applied(lambda logits: logits), applied())


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_reaches_the_output_and_ends_with_its_block(name):
    before = applied()
    assert np.abs(applied(CHANGES[name]) - before).max() > 1e-3
    np.testing.assert_array_equal(applied(), before)


def test_opened_gates_are_those_of_softmax_alone():
    _, variables, features = network()
    alone = Ciet(tiny_model(ciet="softmax", ciet_init_std=1.0))
    names = alone.init(jax.random.key(1), features, train=False)["params"]["block0"]
    block = {name: values for name, values in variables["params"]["block0"].items() if name in names}
    params = {"params": {**variables["params"], "block0": block}}
    expected = alone.apply({**variables, **params}, features, train=False).features
    np.testing.assert_allclose(applied(CHANGES["gates one"]), expected, atol=1e-5)


def test_mean_gates_are_the_mean_of_gates():
    logits = jax.random.normal(jax.random.key(2), (3, 2, 5, 1))
    gates = nn.sigmoid(CHANGES["gates mean"](logits))
    expected = jnp.broadcast_to(nn.sigmoid(logits).mean((0, 2), keepdims=True), logits.shape)
    np.testing.assert_allclose(gates, expected, atol=1e-6)


def test_exchanged_gates_are_those_of_an_image_that_is_no_neighbor():
    logits = jnp.arange(8.0).reshape(8, 1, 1, 1)
    assert exchanged(logits)[:, 0, 0, 0].tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


def test_a_split_is_read_with_each_change_in_turn(monkeypatch):
    """What stands for the whole network is off by what CIET alone returns, in mm."""

    def errors_mm(change=None):
        return 10 + 10 * float(np.abs(applied(change)).mean())

    def make_predict(*_):
        def predict(_):
            error = errors_mm()
            yield spoiled(arm_records(4), dict.fromkeys(ARMS[1:], error), dict.fromkeys(ARMS[1:], error))

        return predict

    monkeypatch.setattr(ciet_causes, "make_predict", make_predict)
    monkeypatch.setattr(ciet_causes, "make_setting", lambda *_: lambda: Setting(SIZE_PX))
    found = ciet_causes.tallies(Experiment(model=CONFIG, global_batch_size=4), {}, "test")
    for name, change in {"learned": None, **CHANGES}.items():
        assert found[name].scores(seed=None)["mpjpe_mm"].value == pytest.approx(errors_mm(change))
    lines = "\n".join(ciet_causes.lines_of(found))
    assert f"mpjpe_mm\n  learned           {errors_mm():10.3f}" in lines
    assert f"  gates one         {errors_mm(CHANGES['gates one']) - errors_mm():+10.3f}" in lines


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (Experiment(model=tiny_model(ciet="softmax")), "has no gates; only 'dual' has"),
        (Experiment(model=CONFIG, global_batch_size=1), "set global_batch_size=2 or more"),
    ],
)
def test_a_network_without_gates_is_refused(experiment, message):
    with pytest.raises(ValueError, match=message):
        ciet_causes.tallies(experiment, {}, "test")


def test_weights_are_kept_of_each_query_over_all_keys():
    weights = kept_weights(*network())
    assert weights.shape == (1, 4, 16, 16)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_attention_is_counted_on_visible_cells_of_the_same_hand():
    """Cells of 8 px: the right hand shows in the left column, the left hand in one cell on the right."""
    segmentation = np.zeros((1, 8, 8), np.uint8)
    segmentation[0, :, :2] = 1
    segmentation[0, 3, 7] = 2
    fields = {
        "segmentation": segmentation,
        "segmentation_known": np.array([True]),
        "joints_px": np.zeros((1, 2, 21, 2), np.float32),
        "joint_in_crop": np.zeros((1, 2, 21), bool),
        "visibility": np.zeros((1, 2, 21), np.int32),
    }
    for hand, joint, px, name in ((0, 3, (20, 13), "object"), (0, 4, (20, 21), "visible"), (1, 5, (30, 1), "own_hand")):
        fields["joints_px"][0, hand, joint] = px
        fields["joint_in_crop"][0, hand, joint] = True
        fields["visibility"][0, hand, joint] = VISIBILITY.index(name)
    weights = np.full((1, 16, 16), 1 / 16)
    weights[0, 6] = 0.0  # the cell at (16..24, 8..16), of the hidden joint of the right hand
    weights[0, 6, [0, 4, 5, 7]] = [0.5, 0.2, 0.2, 0.1]
    tally = Tally()
    tally.add(attention_measures(weights, fields, 8, 4), None)
    found = {name: (score.value, score.num_values) for name, score in tally.scores(seed=None).items()}
    assert found["attention/hidden"] == (pytest.approx((0.7 + 1 / 16) / 2), 2)
    assert found["attention/hidden/chance"] == (pytest.approx((4 / 16 + 1 / 16) / 2), 2)
    assert found["attention/visible"] == (pytest.approx(4 / 16), 1)

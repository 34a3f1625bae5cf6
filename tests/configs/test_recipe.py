"""What the benchmark configs derive from the settings after their colon."""

import dataclasses
import importlib
from math import sqrt
from pathlib import Path

import pytest

from configs import recipe
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import Experiment
from tools import recipes

DOCS = Path(__file__).parents[2] / "docs" / "recipes.md"
DATASETS = ("interhand26m", "ho3d", "h2o3d")


def experiment(name: str, arguments: str = "") -> Experiment:
    return experiment_from(importlib.import_module(f"configs.{name}").get_config(arguments).to_dict())


@pytest.mark.parametrize(("examples", "steps", "forced"), [(192, 6, 2), (200, 7, 3), (95, 3, 1)])
def test_a_recipe_s_epochs_are_seen_whole(examples, steps, forced):
    """An epoch that ends within a batch goes on into the next: 3 x 200 examples are 6.25 batches of 96."""
    config = recipe.get_recipe({}, examples, epochs=3, teacher_forced_epochs=1)
    assert (config.total_steps, config.teacher_forced_steps, config.eval_every_steps) == (steps, forced, 0)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("batch", [32, 768])
def test_another_batch_sees_as_many_examples_at_rates_by_the_square_root(name, batch):
    own, other = experiment(name), experiment(name, f"batch={batch}")
    assert (own.global_batch_size, other.global_batch_size) == (96, batch)
    for length, batches in (("total_steps", 1), ("teacher_forced_steps", 1), ("eval_every_steps", 7)):
        # Each is rounded up to whole batches, evaluations to as many as there are checkpoints before them.
        assert abs(getattr(own, length) * 96 - getattr(other, length) * batch) < batches * max(96, batch), length
    assert other.eval_every_steps % other.checkpoint_every_steps == 0  # or the best could not stay
    assert 0.6 < other.checkpoint_every_steps * batch / 192_000 < 1.7
    for rate in ("learning_rate", "backbone_learning_rate"):
        scaled = getattr(own.optimizer, rate) * sqrt(batch / 96)
        assert getattr(other.optimizer, rate) == pytest.approx(scaled, rel=1e-12), rate


def test_the_numbers_of_interhand26m_by_hand():
    """1,361,062 x 30 / 768 = 53,166.5; true keypoints for a sixth of it; 7 checkpoints an epoch of 1,772.2 steps."""
    large = experiment("interhand26m", "batch=768")
    assert (large.total_steps, large.teacher_forced_steps, large.eval_every_steps) == (53_167, 8_862, 7 * 254)
    assert large.optimizer.learning_rate == pytest.approx(2.828e-4, rel=1e-3)
    assert large.optimizer.backbone_learning_rate == pytest.approx(2.828e-5, rel=1e-3)


def test_a_shorter_run_takes_true_keypoints_in_the_same_part_of_it():
    whole, half = experiment("ho3d"), experiment("ho3d", "epochs=75")
    assert abs(whole.total_steps - 2 * half.total_steps) <= 1
    assert abs(whole.teacher_forced_steps - 2 * half.teacher_forced_steps) <= 1
    assert experiment("interhand26m", "epochs=15").eval_every_steps == experiment("interhand26m").eval_every_steps


@pytest.mark.parametrize(
    ("name", "arguments", "dataset", "examples", "steps"),
    [
        ("interhand26m", "subset=human", "interhand26m_human", 528_482, 165_151),
        ("interhand26m", "examples=9600", "interhand26m", 9_600, 3_000),
        ("ho3d", "version=v3,split=train+val,batch=32", "ho3d_v3", 83_325, 390_586),
        ("h2o3d", "ho3d=v2", "h2o3d+ho3d_v2", 58_445 + 54_900, 177_102),
        ("h2o3d", "ho3d=none", "h2o3d", 54_900, 85_782),
    ],
)
def test_a_dataset_of_another_size_has_steps_of_its_own(name, arguments, dataset, examples, steps):
    got = experiment(name, arguments)
    assert (got.data.name, got.recipe.train_examples, got.total_steps) == (dataset, examples, steps)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ho3d", "bach=32", "'bach' after the config's colon is none of batch, epochs, examples, version, split"),
        ("ho3d", "32", "'32' after the config's colon is none of"),
        ("ho3d", "version=v4", "version=v4 after the config's colon: version is one of v2, v3"),
        ("h2o3d", "batch=0", "batch=0 after the config's colon: batch is a whole number above 0"),
        ("interhand26m", "epochs=1.5", "epochs=1.5 after the config's colon: epochs is a whole number above 0"),
    ],
)
def test_a_wrong_setting_is_named_with_the_right_ones(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        experiment(name, arguments)


@pytest.mark.parametrize("name", DATASETS)
def test_from_scratch_is_the_same_experiment_without_weights_to_start_with(name):
    tuned, scratch = experiment(name, "batch=32"), experiment(f"{name}_scratch", "batch=32")
    assert (tuned.recipe.needs_weights, scratch.recipe.needs_weights) == (True, False)
    assert (tuned.data, tuned.total_steps) == (scratch.data, scratch.total_steps)
    assert scratch.optimizer.backbone_learning_rate == scratch.optimizer.learning_rate
    assert (tuned.model.batch_norm, scratch.model.batch_norm) == ("affine_frozen", "trained")


@pytest.mark.parametrize(("name", "layers"), [("interhand26m", 1), ("ho3d", 6), ("h2o3d", 1)])
def test_keypoint_transformer_is_trained_as_its_files_are_read(name, layers):
    """The network of `weights.kypt.model_config`, which a released file of that dataset fits."""
    kypt, ours = experiment(f"kypt_{name}", "batch=90"), experiment(name)
    model = kypt.model
    assert (model.ciet, model.neck) == ("off", "unet_big" if name == "ho3d" else "unet")
    assert (model.input_normalisation, model.batch_norm, model.hand_presence) == ("unit", "affine_frozen", "tokens")
    assert (model.decoder_layers, model.joints_2d_head, model.visibility_head) == (layers, False, False)
    assert (kypt.optimizer.learning_rate, kypt.optimizer.backbone_learning_rate) == (1e-4, 1e-5)
    assert (kypt.data.crop_centre, kypt.data.crop_averaging, kypt.data.box_pad_px) == (
        "half_size",
        False,
        0.0 if name == "interhand26m" else 10.0,
    )
    assert kypt.loss.object_corner_factors == (() if name == "interhand26m" else ((10, 4.0), (24, 4.0)))
    assert kypt.loss.object_translation_factors == kypt.loss.object_corner_factors
    assert dataclasses.replace(kypt.loss, hand_type=1.0, object_translation_factors=()) == ours.loss
    assert (model.neck_init_std, ours.model.neck_init_std) == (0.001, 0.0)
    assert experiment(f"kypt_{name}", "batch=96").total_steps == ours.total_steps


@pytest.mark.parametrize("name", DATASETS)
def test_a_stronger_sibling_forgets_by_examples_whatever_the_batch(name):
    small, large = (experiment(f"{name}_plus", f"batch={batch}").optimizer for batch in (96, 768))
    assert experiment(f"{name}_plus").model.hand_maps_head
    assert small.schedule == "cosine"
    assert small.average_decay**8 == pytest.approx(large.average_decay, rel=1e-12)
    assert 7 * large.warmup_steps < small.warmup_steps < 9 * large.warmup_steps


def test_the_page_holds_the_table_that_the_configs_make():
    assert recipes.table() in DOCS.read_text()

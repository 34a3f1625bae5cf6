import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from configs import tiny
from occrobnet_jax.runs.config import config_names, config_of, experiment_from
from occrobnet_jax.runs.experiment import Experiment

NO_EXPERIMENTS = {"__init__", "recipe", "workdir"}  # what configs share; a config that a run was kept with
CONFIGS = sorted({path.stem for path in Path(__file__).parents[2].glob("configs/*.py")} - NO_EXPERIMENTS)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_file_is_an_experiment(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    experiment = experiment_from(config.to_dict())
    assert experiment_from(json.loads(json.dumps(config_of(experiment)))) == experiment


@pytest.mark.parametrize("name", tiny.EXPERIMENTS)
def test_the_tiniest_network_has_the_outputs_and_data_of_the_experiment_that_it_stands_for(name):
    full = experiment_from(importlib.import_module(f"configs.{name}").get_config().to_dict())
    small = experiment_from(tiny.get_config(name).to_dict())
    kept = ("with_object", "representation", "visibility_head", "left_object_translation", "weak_camera_head")
    assert [getattr(small.model, each) for each in kept] == [getattr(full.model, each) for each in kept]
    assert (small.data.name, small.data.eval_split) == (full.data.name, full.data.eval_split)
    assert small.model.width < full.model.width
    with pytest.raises(ValueError, match=r"configs/tiny.py:ho3d_v2 must end in one of interhand26m, ho3d"):
        tiny.get_config("ho3d_v2")


def test_the_default_config_is_the_default_of_every_record():
    from configs import default

    assert experiment_from(default.get_config().to_dict()) == Experiment()


def test_what_a_config_leaves_out_has_its_default():
    assert experiment_from({"model": {"ciet": "off"}}).model == dataclasses.replace(Experiment().model, ciet="off")


@pytest.mark.parametrize(
    ("config", "wrong", "nearest"),
    [
        ({"modl": {"ciet": "off"}}, "config.modl", "config.model"),
        ({"model": {"cite": "off"}}, "config.model.cite", "config.model.ciet"),
        ({"totl_steps": 3}, "config.totl_steps", "config.total_steps"),
        ({"ciet": "off"}, "config.ciet", "config.model.ciet"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_ones(config, wrong, nearest):
    with pytest.raises(ValueError, match=f"{wrong} does not exist; the nearest names are .*{nearest}"):
        experiment_from(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"total_steps": "many"}, "config.total_steps='many' must be of type int"),
        ({"total_steps": True}, "config.total_steps=True must be of type int"),
        ({"total_steps": 1.5}, "config.total_steps=1.5 must be of type int"),
        ({"total_steps": 0}, "config.total_steps=0 must be at least 1"),
        ({"teacher_forced_steps": -1}, "config.teacher_forced_steps=-1 must not be negative"),
        ({"compute_dtype": "float16"}, r"config.compute_dtype='float16' is not one of \['float32', 'bfloat16'\]"),
        ({"model": {"ciet": "on"}}, "model.ciet='on' is not one of"),
        ({"model": {"token_mlp": 3}}, "config.model.token_mlp=3 must be of type tuple"),
        ({"model": "occrobnet"}, "config.model='occrobnet' must be a group of settings"),
        ({"optimizer": {"learning_rate": "fast"}}, "config.optimizer.learning_rate='fast' must be of type float"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(config, message):
    with pytest.raises(ValueError, match=message):
        experiment_from(config)


def test_whole_numbers_do_where_fractions_are_meant_and_lists_are_tuples():
    experiment = experiment_from({"optimizer": {"learning_rate": 1}, "model": {"token_mlp": [8, 224]}})
    assert isinstance(experiment.optimizer.learning_rate, float)
    assert experiment.model.token_mlp == (8, 224)


def test_names_reach_into_every_group():
    names = config_names(Experiment)
    assert {"config.seed", "config.mesh.fsdp", "config.model.ciet", "config.data.data_dir", "config.wandb.mode"} <= set(
        names
    )
    assert "config.model" not in names


def test_a_run_can_end_before_its_schedule():
    assert Experiment(total_steps=40).last_step == 40
    assert Experiment(total_steps=40, stop_after_steps=20).last_step == 20
    assert Experiment(total_steps=40, stop_after_steps=60).last_step == 40

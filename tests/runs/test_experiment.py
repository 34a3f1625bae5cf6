import dataclasses
import functools
import importlib
import json
import math
import typing
from pathlib import Path

import pytest

from configs import tiny
from configs import workdir as workdir_config
from input_pipeline.config import DataConfig
from occrobnet_jax.runs.config import config_names, config_of, experiment_from, foreign_experiment, places_of
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
        ({"optimizer": {"beta1": 1.0}}, "optimizer.beta1=1.0 must be at least 0 and below 1"),
        ({"optimizer": {"decay_factor": 0.0}}, "optimizer.decay_factor=0.0 must be above 0 and at most 1"),
        ({"teacher_forced_steps": -1}, "config.teacher_forced_steps=-1 must be at least 0"),
        ({"compute_dtype": "float16"}, r"config.compute_dtype='float16' is not one of \['float32', 'bfloat16'\]"),
        ({"model": {"ciet": "on"}}, "model.ciet='on' is not one of"),
        ({"model": {"token_mlp": 3}}, "config.model.token_mlp=3 must be of type tuple"),
        ({"model": "occrobnet"}, "config.model='occrobnet' must be a group of settings"),
        ({"model": {"token_mlp": [8, "wide"]}}, r"config.model.token_mlp\[1\]='wide' must be of type int"),
        ({"loss": {"object_corner_factors": [[1]]}}, r"config.loss.object_corner_factors\[0\]=\(1\) must have 2"),
        ({"optimizer": {"beta1": math.nan}}, "config.optimizer.beta1=nan must be a finite number"),
        (
            {"optimizer": {"beta1": 10**400}},
            "config.optimizer.beta1=a number of more than 40 digits must be of type float",
        ),
        ({"a" * 10**6: 1}, "a' *does not exist|no name is so long"),
        ({"compute_dtype": ["x" * 10**6] * 2}, r"config.compute_dtype=\('x+'\.\.\., 'x+'\.\.\.\) is not one of"),
        ({"data": {"name": "../elsewhere"}}, r"'../elsewhere' is not the name"),
        ({"data": {"name": "ho3d_v2+/etc"}}, r"'/etc' is not the name"),
        ({"data": {"name": "a/b"}}, r"data.name='a/b' must be the name of a dataset"),
        ({"optimizer": {"learning_rate": "fast"}}, "config.optimizer.learning_rate='fast' must be of type float"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(config, message):
    with pytest.raises(ValueError, match=message):
        experiment_from(config)


NO_PLACES = ("config.keep_best", "config.data.name", "config.data.train_split", "config.data.eval_split")


def test_no_place_comes_from_a_config_that_came_with_a_checkpoint():
    """Whatever holds text, and is no name of a metric, dataset, split or account."""
    places = [name for name in texts(Experiment) if name not in NO_PLACES and not name.startswith("config.wandb")]
    assert "config.compilation_cache_dir" in places
    config = config_of(Experiment())
    for place in places:
        *groups, name = place.split(".")[1:]
        functools.reduce(dict.__getitem__, groups, config)[name] = "/somebody/elses"
    assert "/somebody/elses" not in json.dumps(config_of(foreign_experiment(config)))
    assert foreign_experiment(config, "my/mano").model.hand_model == "my/mano"
    assert foreign_experiment(config_of(Experiment()), "my/mano").model.hand_model == ""


def test_the_places_that_an_evaluation_needs_are_named_where_they_are_not_the_usual_ones():
    own = Experiment()
    assert places_of(own) == []
    data = dataclasses.replace(own.data, data_dir="gs://b/my data")
    model = dataclasses.replace(own.model, hand_model="models/mano")
    named = places_of(dataclasses.replace(own, data=data, model=model))
    assert named == ["--config.data.data_dir=gs://b/my data", "--config.model.hand_model=models/mano"]


def texts(record, prefix="config"):
    """Every field that may hold any text."""
    for name, kind in typing.get_type_hints(record).items():
        if dataclasses.is_dataclass(kind):
            yield from texts(kind, f"{prefix}.{name}")
        elif kind is str:
            yield f"{prefix}.{name}"


@pytest.mark.parametrize("content", ["", "[]", '{"model": 3}', None])
def test_a_workdir_s_config_that_is_none_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config.json (can't be read|is not)|config.model=3 must be"):
        workdir_config.get_config(str(tmp_path))


def test_a_workdir_s_config_keeps_no_place(tmp_path):
    kept = Experiment(
        compilation_cache_dir="/evil", init_from="/evil", data=DataConfig(data_dir="/evil", name="custom")
    )
    (tmp_path / "config.json").write_text(json.dumps(config_of(kept)))
    read = experiment_from(workdir_config.get_config(str(tmp_path)).to_dict())
    assert read == Experiment(data=DataConfig(name="custom"))


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

"""The runner of ablations with a program in the place of train.py and eval.py that leaves what these leave."""

import json
from pathlib import Path

import pytest

from configs import synthetic_occlusion, synthetic_tiny
from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.formats.records_file import save
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.state import abstract_variables, leaves_by_path
from occrobnet_jax.runs.trained import read_trained
from tests.support.fake_records import HIDDEN_MM, SIZE_PX, arm_records, spoiled
from tools.ablate import ESTIMAND, REPOSITORY, TABLE, main, read_study

STUDY = """
CONFIG = "configs/synthetic_tiny.py"
COMMON = {"total_steps": 7}
SPLIT = "test"
SEEDS = (0, 1)
REFERENCE = "off"
VARIANTS = {"off": {"model.ciet": "off"}, "dual, tuned": {"model.ciet": "dual"}}
"""
SWITCHES = {"dataset": "synthetic_occlusion", "split": "test", "box_source": "stored"}
CONFIG = json.dumps(synthetic_tiny.get_config().to_dict() | {"total_steps": 7})


class Killed(Exception):
    pass


class Programs:
    """What was run, until it is killed."""

    def __init__(self, until: int = 99, switches=SWITCHES) -> None:
        self.ran, self.until, self.switches = [], until, switches

    def __call__(self, arguments) -> None:
        if len(self.ran) == self.until:
            raise Killed
        program, *flags = arguments
        values = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        workdir = Path(values["workdir"])
        self.ran.append(f"{program} {workdir.parent.name} {workdir.name}")
        if program == "train.py":
            (workdir / "config.json").write_text(CONFIG)
            (workdir / "summary.json").write_text('{"step": 7}')
        else:
            self.evaluate(workdir / "eval" / values["split"], values)

    def evaluate(self, folder: Path, values) -> None:
        """CIET takes 5 mm off hidden joints behind the occluder; the second seed is 2 mm worse everywhere."""
        helped = 5.0 if values["config.model.ciet"] == "dual" else 0.0
        worse = 2.0 * float(values["config.seed"])
        hidden = {arm: error + worse for arm, error in HIDDEN_MM.items()}
        folder.mkdir(parents=True)
        records = spoiled(arm_records(4), hidden | {"occluded": hidden["occluded"] - helped})
        save(folder / "predictions.npz", [records], Setting(SIZE_PX, None, self.switches))
        (folder / "card.json").write_text("{}")


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.py"
    path.write_text(STUDY)
    return path


def ablate(study, programs, *flags):
    return main([str(study), f"--folder={study.parent / 'runs'}", *flags], programs)


ALL = [
    f"{program} {variant} {seed}"
    for seed in (0, 1)
    for variant in ("off", "dual-tuned")
    for program in ("train.py", "eval.py")
]


def test_each_variant_is_trained_and_evaluated_with_each_seed(study, capsys):
    programs = Programs()
    assert ablate(study, programs) == 0
    assert programs.ran == ALL
    assert (study.parent / "runs" / TABLE).read_text().strip() == capsys.readouterr().out.strip()


def test_a_killed_study_goes_on_with_what_is_not_finished(study):
    first = Programs(until=3)
    with pytest.raises(Killed):
        ablate(study, first)
    second = Programs()
    assert ablate(study, second) == 0
    assert first.ran[:3] + second.ran == ALL
    third = Programs()
    assert ablate(study, third) == 0
    assert third.ran == []


def test_the_table_tells_what_exceeds_the_noise(study, capsys):
    ablate(study, Programs())
    blocks = capsys.readouterr().out.split("\n\n")
    block = next(each for each in blocks if f"{ESTIMAND} (the estimand)" in each).splitlines()
    off, dual = (line.split() for line in block[-2:])
    assert off == ["off", "17.000", "0.000", "2"]
    assert dual[:5] == ["dual,", "tuned", "12.000", "0.000", "2"]
    assert dual[5:10] == ["-5.000", "[-5.000,", "-5.000]", "beyond", "the"]
    hidden = next(each for each in blocks if each.startswith("mpjpe_mm/arm_occluded/hidden")).splitlines()
    assert hidden[1].split() == ["off", "31.000", "1.414", "2"]


def test_one_seed_is_marked_as_screening(study, capsys):
    study.write_text(STUDY.replace("(0, 1)", "(3,)"))
    ablate(study, Programs())
    assert "one seed: screening" in capsys.readouterr().out


def test_an_array_job_does_one_and_the_table_trains_nothing(study, capsys):
    programs = Programs()
    assert ablate(study, programs, "--only=1") == 0
    assert programs.ran == ALL[2:4]
    assert capsys.readouterr().out == ""
    assert ablate(study, programs, "--table") == 0
    assert len(programs.ran) == 2
    assert "dual, tuned" in capsys.readouterr().out


def test_a_changed_study_is_not_mixed_with_what_it_was(study, capsys):
    ablate(study, Programs(), "--only=0")
    study.write_text(STUDY.replace('"total_steps": 7', '"total_steps": 9'))
    assert ablate(study, Programs(), "--only=0") == 1
    assert "begun with other settings (--config.total_steps=7, --config.total_steps=9)" in capsys.readouterr().err


def test_evaluations_of_other_data_are_refused(study, capsys):
    ablate(study, Programs(), "--only=0")
    ablate(study, Programs(switches=SWITCHES | {"dataset_sha256": "other"}), "--only=1")
    assert ablate(study, Programs(), "--table") == 1
    assert "is of other data than the evaluations before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model.ciet", "model.cit", "the nearest names are config.model.ciet"),
        ('REFERENCE = "off"', 'REFERENCE = "on"', "a reference out of"),
        ("SEEDS", "SEED", "lacks SEEDS"),
    ],
)
def test_a_wrong_study_is_refused_in_a_sentence(study, capsys, old, new, message):
    study.write_text(STUDY.replace(old, new))
    assert ablate(study, Programs()) == 1
    assert message in capsys.readouterr().err


def test_the_study_of_the_papers_claim_is_one():
    study = read_study(REPOSITORY / "configs/studies/ciet.py")
    assert study.variants["softmax"] == {"model.ciet": "softmax"}
    assert f"--array=0-{len(study.jobs) - 1} " in (main.__globals__["__doc__"])


def test_the_same_study_at_another_stride_differs_in_nothing_else():
    study, other = (read_study(REPOSITORY / f"configs/studies/{name}.py") for name in ("ciet", "ciet_stride8"))
    changed = {"init_from": "runs/eyes8", "model.ciet_stride": 8}
    assert other.common == study.common | changed
    assert other.variants.items() <= study.variants.items()
    for field in ("config", "split", "seeds", "reference"):
        assert getattr(other, field) == getattr(study, field)


def test_all_of_its_variants_start_with_one_network_but_for_ciet_and_what_they_say_may_differ():
    study = read_study(REPOSITORY / "configs/studies/ciet.py")
    stored = shapes(read_trained(REPOSITORY / study.common["init_from"]).variables)
    for variant in study.variants:
        settings = synthetic_occlusion.get_config()
        settings.update_from_flattened_dict(study.common | study.variants[variant])
        experiment = experiment_from(settings.to_dict())
        network = shapes(abstract_variables(make_model(experiment), experiment.data.input_size_px))
        differ = {name.split("/")[1] for name, shape in stored.items() if network.get(name) != shape}
        added = {name.split("/")[1] for name in network.keys() - stored.keys()}
        assert differ == set(experiment.init_may_differ), variant
        assert added == (set() if variant == "off" else {"ciet"}), variant


def shapes(variables):
    return {name: leaf.shape for name, leaf in leaves_by_path(variables).items()}

"""What a training step must not contain, and what a profile of it must show."""

import re

import jax
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.training.abstract_batch import abstract_batch
from occrobnet_jax.training.experiment import Experiment
from occrobnet_jax.training.setup import build
from tests.tiny import INPUT_SIZE_PX, tiny_model
from tools.profile_step import PARTS, part_of, parts_of_operations

TO_THE_HOST = re.compile(r"infeed|outfeed|stablehlo\.(send|recv)|callback|host_")


@pytest.fixture(scope="module")
def program() -> str:
    """The step's program with the names of its operations; nothing is compiled."""
    experiment = Experiment(model=tiny_model(), data=DataConfig(input_size_px=INPUT_SIZE_PX), global_batch_size=8)
    run = build(experiment, jax.devices()[:1])
    return run.train_step.lower(run.state, abstract_batch(experiment, run.mesh)).as_text(debug_info=True)  # type: ignore[attr-defined]


def test_nothing_goes_to_the_host_within_a_step(program):
    operations = "\n".join(line for line in program.splitlines() if not line.startswith("#loc"))
    assert "stablehlo.dot_general" in operations
    assert not TO_THE_HOST.search(operations)


def test_profiles_name_the_parts_of_the_network(program):
    scopes = set(re.findall(r'"(jit\([^"]*)"', program))
    found = {part_of(scope) for scope in scopes}
    absent = {"unet", "hand_maps_head"}  # of other configurations
    assert found >= set(PARTS) - absent
    backward = {part_of(scope) for scope in scopes if "transpose(" in scope}
    assert backward >= {"backbone", "ciet", "encoder", "decoder"}


def test_operations_belong_to_the_outermost_part():
    compiled = """
      %fusion.1 = f32[8]{0} fusion(%a), metadata={op_name="jit(step)/transpose(jvp(OccRobNet))/ciet/mul" x=1}
      dot.2 = f32[8]{0} dot(a, b), metadata={source_line=3 op_name="jit(step)/jvp(OccRobNet)/decoder/layer0/norm1/add"}
      ROOT %tuple = (f32[8]{0}) tuple(%fusion.1), metadata={op_name="jit(step)/add"}
    """
    parts = parts_of_operations(compiled)
    assert parts == {"fusion.1": "ciet", "dot.2": "decoder", "tuple": "losses and optimiser"}

"""What a training step must not contain, and what a profile of it must show."""

import gzip
import json
import re

import jax
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.training.blank_batch import blank_batch
from occrobnet_jax.training.setup import build
from tests.support.tiny import INPUT_SIZE_PX, tiny_model
from tools.profile_step import NO_PART, PARTS, part_of, parts_of_operations, time_of_parts

TO_THE_HOST = re.compile(r"infeed|outfeed|stablehlo\.(send|recv)|callback|host_")
COMPILED_TO_THE_HOST = re.compile(
    r"""\s(infeed|outfeed|send|recv)(-done)?\(|custom_call_target="[^"]*(?i:callback|host)|\bS\(5\)"""  # 5: host memory
)


@pytest.fixture(scope="module")
def lowered(shallow_resnet18: None) -> jax.stages.Lowered:
    """A step; nothing is compiled."""
    experiment = Experiment(model=tiny_model(), data=DataConfig(input_size_px=INPUT_SIZE_PX), global_batch_size=8)
    run = build(experiment, jax.devices()[:1])
    return run.train_step.trace(run.carrier.carried(run.state), blank_batch(experiment)).lower()


@pytest.fixture(scope="module")
def program(lowered: jax.stages.Lowered) -> str:
    """Its program with the names of its operations."""
    return lowered.as_text(debug_info=True)


def test_nothing_goes_to_the_host_within_a_step(program):
    operations = "\n".join(line for line in program.splitlines() if not line.startswith("#loc"))
    assert "stablehlo.dot_general" in operations
    assert not TO_THE_HOST.search(operations)


@pytest.mark.long
def test_nothing_goes_to_the_host_within_a_compiled_step(lowered):
    compiled = lowered.compile().as_text()
    assert re.search(r"\sdot\(", compiled)
    assert not COMPILED_TO_THE_HOST.search(compiled)


def test_the_search_knows_what_goes_to_the_host():
    def calls_back(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda x: None, x)
        return x + 1

    lowered = jax.jit(calls_back).lower(1.0)
    assert TO_THE_HOST.search(lowered.as_text())
    assert COMPILED_TO_THE_HOST.search(lowered.compile().as_text())
    for operation in ("infeed(%token)", "outfeed(%x, %token)", "send(%x, %token)", "recv-done(%recv), channel_id=1"):
        assert COMPILED_TO_THE_HOST.search(f"  %made.1 = (f32[8]{{0}}, token[]) {operation}")
    assert COMPILED_TO_THE_HOST.search("  %copy.1 = f32[8]{0:S(5)} copy(%x)")


def test_profiles_name_the_parts_of_the_network(program):
    scopes = set(re.findall(r'"(jit\([^"]*)"', program))
    found = {part_of(scope) for scope in scopes}
    absent = {"unet", "hand_maps_head", "joint_maps_head", "finder_head"}  # of other configurations
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


def test_a_loop_counts_without_what_runs_in_it(tmp_path):
    parts = {"while.1": "ciet", "dot.2": "ciet", "call.3": "decoder", "add.4": "decoder", "copy.6": "fpn"}
    spans = [  # thread, operation, start, and duration in microseconds
        (1, "add.4", 108.0, 1.0),  # events need no order
        (1, "while.1", 100.003, 10.0),
        (1, "dot.2", 100.003, 4.0),
        (1, "call.3", 104.936, 5.067),  # ends with the loop, where sums of floats differ
        (1, "unnamed.5", 104.5, 0.25),  # the loop's
        (1, "add.4", 110.003, 2.0),  # begins where the loop ends
        (2, "copy.6", 101.0, 3.0),  # thread 2 works at the same time
        (2, "while.1", 100.5, 20.0),
        (2, "dot.2", 101.0, 19.5),
        (2, "unnamed.5", 130.0, 0.75),  # within nothing
    ]
    events = [
        {"ph": "X", "pid": 7, "tid": thread, "name": name, "ts": start, "dur": length, "args": {"hlo_op": name}}
        for thread, name, start, length in spans
    ]
    others = [{"ph": "M", "pid": 7, "name": "process_name", "args": {"name": "CPU"}}]
    others += [{"ph": "X", "pid": 7, "tid": 1, "name": "Execute", "ts": 99.0, "dur": 50.0}, {}]
    trace = tmp_path / "vm.trace.json.gz"
    trace.write_bytes(gzip.compress(json.dumps({"traceEvents": others + events}).encode()))
    found = time_of_parts(trace, parts)
    thread_1 = {"ciet": 10.0 - 5.067, "decoder": 5.067 + 2.0}
    thread_2 = {"ciet": 0.5 + 19.5 - 3.0, "fpn": 3.0, NO_PART: 0.75}
    expected = {name: thread_1.get(name, 0) + thread_2.get(name, 0) for name in thread_1 | thread_2}
    assert found == pytest.approx({name: us / 1e6 for name, us in expected.items()})
    assert sum(found.values()) == pytest.approx((12.0 + 20.75) / 1e6)  # as long as the threads were at work

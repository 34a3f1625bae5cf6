"""Packs a run's network into one file: python -m tools.pack_model WORKDIR --output=NAME.safetensors [--step=N]
[--calibration=FILE.json].

It takes the averaged weights where there are any, in float16, and the calibration that `evaluation.calibrate` wrote. A
network's file in place of the workdir gets another calibration. predict.py --checkpoint=NAME.safetensors and
occrobnet_jax.load_predictor read it.
"""

from absl import flags

from occrobnet_jax import command_line
from occrobnet_jax.files.paths import path_of
from occrobnet_jax.runs.calibration import read_calibration
from occrobnet_jax.runs.model_file import SUFFIX, write_model
from occrobnet_jax.runs.trained import read_trained


def main(arguments: list[str]) -> None:
    """Pack what the command line names."""
    if len(arguments) != 1:
        raise ValueError("name one workdir: python -m tools.pack_model WORKDIR --output=NAME.safetensors")
    output = path_of(OUTPUT.value)
    if output.suffix != SUFFIX:
        raise ValueError(f"--output={output} must end in {SUFFIX}")
    restored = read_trained(path_of(arguments[0]), STEP.value)
    if CALIBRATION.value:
        restored = restored._replace(calibration=read_calibration(path_of(CALIBRATION.value)))
    write_model(output, restored)
    print(f"{output}: step {restored.step}, {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    OUTPUT = flags.DEFINE_string("output", None, "the file", required=True)
    STEP = flags.DEFINE_integer("step", None, "take this step's checkpoint instead of the newest", lower_bound=0)
    CALIBRATION = flags.DEFINE_string("calibration", None, "file of evaluation.calibrate")
    command_line.run(main)

"""Exports a network: python -m occrobnet_jax.inference.export --format=stablehlo --output=FILE [--checkpoint=FILE].

--format=tflite is the other one. The file is one program that needs nothing of this package: a crop goes in as it is
(uint8, RGB), joints in pixels and metres come out; keypoint selection, decoding and calibration lie inside.
--program=finder exports what finds the hands of a whole photo. FILE.json says what goes in and comes out, and
docs/export.md has the lines that run each format.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import AnyPath, path_argument
from occrobnet_jax.inference.network import Network, load_network
from occrobnet_jax.inference.plain_program import written_out
from occrobnet_jax.runs.config import MANO_FOLDER
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND
from occrobnet_jax.user_errors import exit_status

FORMAT, VERSION = "occrobnet-jax/export", 1
PLATFORMS = ("cpu", "cuda", "tpu")  # that a StableHLO program is lowered for

Arrays = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Program:
    """A function of named arrays, with the weights inside."""

    function: Callable[..., Arrays]
    inputs: dict[str, jax.ShapeDtypeStruct]

    @property
    def outputs(self) -> dict[str, Any]:
        """Name, shape and type of each output, in the order in which formats without names have them."""
        return dict(sorted(jax.eval_shape(self.function, *self.inputs.values()).items()))


def pose_program(network: Network) -> Program:
    """Return what reads the hands off a crop."""
    return Program(
        lambda image, intrinsics: _present(network.pose(network.variables, image, intrinsics)), network.inputs["pose"]
    )


def finder_program(network: Network) -> Program:
    """Return what finds the hands of a whole photo.

    Raises:
        ValueError: the network has no finder.
    """
    if not network.finds_hands:
        raise ValueError("the network has no finder (model.finder_head); export --program=pose alone")
    return Program(lambda image: _present(network.cells(network.variables, image)), network.inputs["cells"])


def stablehlo(program: Program) -> bytes:
    """Return the program as `jax.export` serializes it: StableHLO with the versions that it guarantees to read."""
    exported = jax.export.export(jax.jit(program.function), platforms=PLATFORMS)(*program.inputs.values())
    return bytes(exported.serialize())


def tflite(program: Program) -> bytes:
    """Return the program for LiteRT (TensorFlow Lite), converted from StableHLO without TensorFlow.

    Raises:
        ValueError: the converter isn't installed.
    """
    try:
        from litert_converter.mlir import ir, passmanager
        from litert_converter.mlir._mlir_libs import converter_api_ext as litert  # as litert-torch imports it
    except ImportError as error:
        raise ValueError("--format=tflite needs the converter: pip install -r requirements/tflite.txt") from error
    inputs = program.inputs.values()
    lowered = jax.jit(written_out(program.function, *inputs)).lower(*inputs)
    context = ir.Context()
    litert.prepare_mlir_context(context)
    with context:
        module = ir.Module.parse(str(lowered.compiler_ir("stablehlo")))
        litert.set_signature(
            module.operation,
            signature_name="serving_default",
            input_names=list(program.inputs),
            output_names=list(program.outputs),
        )
        merged = litert.merge_modules([module])
        litert.run_convert_to_tfl_passes(merged, passmanager.PassManager(), litert.ConvertToTFLConfig())
        return bytes(litert.export_flatbuffer_to_bytes(merged.operation))


def description(network: Network, program: Program, form: str, sha256: str) -> str:
    """Return the JSON beside a program.

    Args:
        network: that was exported.
        program: of it.
        form: of the file.
        sha256: of the file.
    """
    data = network.experiment.data
    content = {
        "format": FORMAT,
        "version": VERSION,
        "file": {"format": form, "sha256": sha256},
        "network": {"step": network.step, "sha256": network.sha256},
        "inputs": {name: _described(spec) for name, spec in program.inputs.items()},
        "outputs": {name: _described(spec) for name, spec in program.outputs.items()},
        "image": "RGB, 0 to 255; what the network subtracts and divides by lies inside the program",
        "crop": {
            "size_px": program.inputs["image"].shape[1],
            "box_scale": data.box_scale if "intrinsics" in program.inputs else 1.0,
            "box_pad_px": data.box_pad_px if "intrinsics" in program.inputs else 0.0,
            "rule": "a square about the box's centre, as wide as its longer side (padded by box_pad_px at each end) "
            "times box_scale; pixel centres at integers; zeros outside the photo; intrinsics are those of the crop",
        },
        "hands": HAND_NAMES,
        "joint_names": INTERHAND,
        "frame": "px of the crop; metres, x right, y down, z away from the camera",
    }
    return json.dumps(content, indent=1) + "\n"


def export(network: Network, program: Program, form: str, output: AnyPath) -> None:
    """Write a program and its description."""
    write_atomically(output, FORMS[form](program))
    write_atomically(output.with_name(f"{output.name}.json"), description(network, program, form, file_sha256(output)))


def _present(record: Any) -> Arrays:
    """Return the fields of a record that the network has."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {name: value for name, value in fields.items() if value is not None}


def _described(spec: Any) -> dict[str, Any]:
    return {"shape": spec.shape, "dtype": str(spec.dtype)}


FORMS: dict[str, Callable[[Program], bytes]] = {"stablehlo": stablehlo, "tflite": tflite}
PROGRAMS = {"pose": pose_program, "finder": finder_program}


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what the command line names; return the exit status."""
    return exit_status(_export, _parser().parse_args(arguments))


def _export(options: argparse.Namespace) -> None:
    network = load_network(options.checkpoint, options.step, options.hand_model)
    export(network, PROGRAMS[options.program](network), options.format, options.output)
    size_mb = options.output.stat().st_size / 1e6
    print(f"{options.output}: {options.program} of step {network.step}, {size_mb:.1f} MB")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m occrobnet_jax.inference.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--format", choices=sorted(FORMS), required=True)
    parser.add_argument("--output", type=path_argument, required=True, metavar="FILE")
    parser.add_argument("--program", choices=sorted(PROGRAMS), default="pose", help="reads a crop, or finds the hands")
    parser.add_argument(
        "--checkpoint", type=path_argument, help="a run or a network's file, instead of that in the box"
    )
    parser.add_argument("--step", type=int, help="take this step's checkpoint instead of the newest")
    parser.add_argument("--hand_model", default=MANO_FOLDER, help="MANO's files, for networks of its angles")
    return parser


if __name__ == "__main__":
    sys.exit(main())

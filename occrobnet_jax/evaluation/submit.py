"""Writes a submission: python -m occrobnet_jax.evaluation.submit PREDICTIONS --server=ho3d_v3 --output=pred.zip.

PREDICTIONS is predictions.npz of the evaluation split. The file is checked before anything is written: each frame of
evaluation.txt once, finite, of the size of hands. `python -m occrobnet_jax.evaluation.score` reads it back.
"""

import argparse
import sys
from collections.abc import Sequence

from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.evaluation.formats.predictions_file import MAX_LIST_BYTES
from occrobnet_jax.evaluation.formats.records_file import load
from occrobnet_jax.evaluation.formats.submissions import ROOTS, SERVERS, submission_of, write_submission
from occrobnet_jax.files.paths import AnyPath, path_argument
from occrobnet_jax.files.readers import read_bytes
from occrobnet_jax.user_errors import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the command line says; return the exit status."""
    return exit_status(_submit, _parser().parse_args(arguments))


def _submit(options: argparse.Namespace) -> None:
    (server,) = (each for each in SERVERS if each.name == options.server)
    records, _ = load(options.predictions)
    frames = server.num_frames if options.frames is None else _num_lines(options.frames)
    submission = submission_of(records, server, frames, options.root, options.any_size)
    write_submission(options.output, submission)
    mesh = "with meshes" if submission.vertices_m is not None else "without meshes"
    print(f"{options.output}: {frames:,} frames for {server.name}, {mesh}")


def _num_lines(path: AnyPath) -> int:
    return len(read_bytes(path, MAX_LIST_BYTES).split())


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("submit", __doc__)
    parser.add_argument("predictions", type=path_argument, metavar="PREDICTIONS")
    parser.add_argument("--server", choices=[each.name for each in SERVERS], required=True)
    parser.add_argument("--output", type=path_argument, required=True, help="pred.zip, or pred.json")
    parser.add_argument("--root", choices=ROOTS, default="given", help="HO-3D: where the wrist is put")
    parser.add_argument("--any_size", action="store_true", help="write hands that have no size of hands, too")
    parser.add_argument("--frames", type=path_argument, help="evaluation.txt, if not the published one")
    return parser


if __name__ == "__main__":
    sys.exit(main())

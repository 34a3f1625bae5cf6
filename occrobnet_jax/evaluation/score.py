"""Scores predictions under published conventions: python -m occrobnet_jax.evaluation.score PREDICTIONS --protocol=NAME.

PREDICTIONS is eval.py's predictions.npz, a pred.json (or its zip) of HO-3D or H2O-3D, or the plain format. NAME is a
convention (interhand26m/kypt), one with switches set otherwise (interhand26m/kypt+wrist=left_out), or a benchmark
(interhand26m) for all of its conventions that apply. Needs neither accelerator nor checkpoint. docs/evaluation.md says
what each name means.
"""

import argparse
import sys
from collections.abc import Sequence

from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.evaluation.formats.object_models import read_object_models
from occrobnet_jax.evaluation.formats.predictions_file import Truth, read_ids, read_predictions
from occrobnet_jax.evaluation.metrics.hand_size import of_hands_size
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find, in_words
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.metrics.scores import SEED, Result, as_lines, score_all, write_scores
from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import local_path_argument, path_argument
from occrobnet_jax.user_errors import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Score what the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.list:
        print(in_words())
        return 0
    return exit_status(_score, options)


def _score(options: argparse.Namespace) -> None:
    if options.predictions is None or not options.protocol:
        raise ValueError("name a predictions file and at least one --protocol; --list shows the protocols")
    conventions = [each for name in options.protocol for each in find(name)]
    truth = Truth(options.truth, options.truth_vertices, options.frames)
    chunks, setting = read_predictions(options.predictions, truth)
    chunks = chunks if options.any_size else of_hands_size(chunks)
    results, refused = score_all(chunks, setting, conventions, _extras(options), options.seed)
    for result in results:
        _show(result, options.joints)
    for name, reason in refused.items():
        print(f"not scored under {name}: {reason}", file=sys.stderr)
    if options.output is not None:
        about = {
            "predictions": str(options.predictions),
            "predictions_sha256": file_sha256(options.predictions),
            "switches": dict(setting.switches),
            "seed": options.seed,
        }
        write_scores(options.output, results, refused, about)


def _show(result: Result, with_joints: bool) -> None:
    print(f"{result.protocol}: {result.words}")
    for note in (*result.notes, f"{result.num_examples:,} examples"):
        print(f"  {note}")
    print("\n".join(as_lines(result, with_joints)), end="\n\n")


def _extras(options: argparse.Namespace) -> Extras:
    ids = None if options.annotation_ids is None else read_ids(options.annotation_ids)
    models = {} if options.object_models is None else read_object_models(options.object_models)
    return Extras(ids, models)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("score", __doc__)
    parser.add_argument("predictions", type=path_argument, nargs="?", metavar="PREDICTIONS")
    parser.add_argument("--protocol", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--list", action="store_true", help="every protocol in words, and its switches")
    parser.add_argument("--truth", type=path_argument, help="labels.npz of ours, or HO-3D's evaluation_xyz.json")
    parser.add_argument("--truth_vertices", type=path_argument, help="HO-3D's evaluation_verts.json")
    parser.add_argument(
        "--frames", type=path_argument, help="HO-3D's evaluation.txt: names the sequences, for intervals"
    )
    parser.add_argument("--annotation_ids", type=path_argument, help="ids of InterHand2.6M's subset H or M, one a line")
    parser.add_argument(
        "--object_models", type=local_path_argument, metavar="DIR", help="003_cracker_box.npy (or .obj, ...)"
    )
    parser.add_argument("--joints", action="store_true", help="print the numbers of single joints, too")
    parser.add_argument("--any_size", action="store_true", help="score what seems to be in another unit, too")
    parser.add_argument("--seed", type=int, default=SEED, help="of the bootstrap over sequences")
    parser.add_argument("--output", type=path_argument, metavar="FILE", help="the numbers as JSON, for compare")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Fits what makes a network's probabilities mean what they say, on validation splits:

    python -m occrobnet_jax.evaluation.calibrate --joint_confidence=A.npz --visibility_probability=B.npz
        --hand_probability=A.npz,B.npz --output=calibration.json [--held_out=C.npz]

The files are predictions.npz of eval.py, never of a test split. `tools.pack_model --calibration` puts the result into a
network's file, whose predictor applies it. Printed is the expected calibration error before and after, on the files
that a map was fitted on and on those held out.
"""

import argparse
import sys
from collections.abc import Sequence

import jax
import numpy as np
from scipy.optimize import minimize
from scipy.special import log_expit, logit

from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.evaluation.formats.records_file import open_records
from occrobnet_jax.evaluation.metrics.calibration import Answers, Reliability, answers
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import path_argument, path_of
from occrobnet_jax.runs.calibration import CALIBRATED, NEAREST, Platt, apply, calibration_json
from occrobnet_jax.user_errors import exit_status

START = (0.0, 0.0)  # logarithm of the slope, and the offset: a map that changes nothing


def fit(given: Answers) -> Platt:
    """Return the map of least negative log-likelihood.

    Raises:
        ValueError: the answers are all of one kind.
    """
    if given.is_so.all() or not given.is_so.any():
        raise ValueError(f"all {len(given.is_so)} answers are {bool(given.is_so[0])}: nothing can be fitted on them")
    said, sign = logit(np.clip(given.probability, NEAREST, 1 - NEAREST)), np.where(given.is_so, 1, -1)

    def loss(parameters: np.ndarray) -> float:
        return float(-log_expit(sign * (np.exp(parameters[0]) * said + parameters[1])).mean())

    log_slope, offset = minimize(loss, START, method="Nelder-Mead").x
    return Platt(float(np.exp(log_slope)), float(offset))


def read_answers(name: str, files: Sequence[str]) -> Answers | None:
    """Return all answers of one probability in some predictions files; None where there are none.

    Raises:
        ValueError: a file can't be read.
    """
    parts = []
    for file in files:
        found = (answers(chunk).get(name) for chunk in open_records(path_of(file)).chunks())
        parts += [part for part in found if part is not None]
    return Answers(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))) if parts else None


def ece(given: Answers, platt: Platt | None = None) -> float:
    """Return the expected calibration error, of the answers as they are or through a map."""
    reliability = Reliability()
    probability = given.probability if platt is None else np.asarray(apply(platt, jax.numpy.asarray(given.probability)))
    reliability.add(given._replace(probability=probability.astype(np.float64)))
    return reliability.ece()


def calibrate(name: str, files: Sequence[str], held_out: Sequence[str]) -> Platt:
    """Fit the map of one probability and print what it does.

    Raises:
        ValueError: the files have no labels for it, or one is of a test split.
    """
    for file in files:
        split = open_records(path_of(file)).setting.switches["split"]
        if "test" in split:
            raise ValueError(f"{file} is of the split {split}; fit on a validation split, and take this as --held_out")
    given = read_answers(name, files)
    if given is None:
        raise ValueError(f"--{name}={','.join(files)} has no answers with labels")
    platt = fit(given)
    print(f"{name}: slope {platt.slope:.3f}, offset {platt.offset:.3f}")
    for words, some in (("fitted on", given), ("held out", read_answers(name, held_out))):
        if some is not None:
            print(f"    {words} {len(some.is_so):,} answers: ECE {ece(some):.3f} -> {ece(some, platt):.3f}")
    return platt


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit what the command line names; return the exit status."""
    return exit_status(_calibrate_all, _parser().parse_args(arguments))


def _calibrate_all(options: argparse.Namespace) -> None:
    asked = {name: files.split(",") for name in CALIBRATED if (files := getattr(options, name))}
    if not asked:
        raise ValueError(f"name files of predictions for at least one of --{', --'.join(CALIBRATED)}")
    held_out = options.held_out.split(",") if options.held_out else []
    maps = {name: calibrate(name, files, held_out) for name, files in asked.items()}
    write_atomically(options.output, calibration_json(maps))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("calibrate", __doc__)
    for name in CALIBRATED:
        parser.add_argument(f"--{name}", metavar="FILE,...", help="files of predictions that it is fitted on")
    parser.add_argument("--held_out", metavar="FILE,...", help="files that the maps are tried on")
    parser.add_argument("--output", type=path_argument, required=True, metavar="FILE", help="file for the maps")
    return parser


if __name__ == "__main__":
    sys.exit(main())

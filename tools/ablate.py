"""Trains and evaluates the variants of a study and says what they make: python -m tools.ablate STUDY --folder=DIR.

STUDY is a file such as configs/studies/ciet.py. Each variant is trained with each seed in DIR/VARIANT/SEED, and
evaluated there; what is finished is skipped, what was interrupted goes on. DIR/table.txt then holds every number's
mean, its spread over seeds, and its difference from the reference's, paired by scene and seed.

    python -m tools.ablate STUDY --folder=DIR --processes=2                      # two at a time, on this machine
    sbatch --array=0-44 --wrap="python -m tools.ablate STUDY --folder=DIR --only=\\$SLURM_ARRAY_TASK_ID"
    python -m tools.ablate STUDY --folder=DIR --table                            # of what is there, trains nothing
"""

import argparse
import dataclasses
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from occrobnet_jax.evaluation.card import CARD, PREDICTIONS
from occrobnet_jax.evaluation.compare import IDENTITY
from occrobnet_jax.evaluation.formats.records_file import open_records
from occrobnet_jax.evaluation.metrics.measures import Tally
from occrobnet_jax.evaluation.metrics.metrics import own_measures
from occrobnet_jax.evaluation.metrics.paired import Difference, differences
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.config import config_names, unknown_name
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.summary import EVALUATIONS, is_finished
from occrobnet_jax.user_errors import exit_status

RunProgram = Callable[[Sequence[str]], None]
"""Runs train.py or eval.py with flags; raises where it fails."""

ESTIMAND = "mpjpe_mm/occluded_minus_free/hidden_minus_visible"
NUMBERS = (
    ESTIMAND,
    *("error_2d_px/occluded_minus_free/hidden_minus_visible", "mpjpe_mm/occluded_minus_free"),
    *("mpjpe_mm", "mpjpe_mm/arm_occluded/hidden", "mpjpe_mm/arm_occluded/visible", "mpjpe_mm/arm_free/hidden"),
    *("mpjpe_mm/visible", "mpjpe_mm/occluded", "pa_mpjpe_mm", "error_2d_px/arm_occluded/hidden"),
    *("recovered_fraction/hand_prior", "token_recall", "hand_identity_accuracy"),
)
"""In the table, as far as the data have them."""
ARGUMENTS, TABLE = "arguments.json", "table.txt"
REPOSITORY = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Study:
    """What is trained: each variant with each seed.

    Raises:
        ValueError: a setting does not exist, or the reference is no variant.
    """

    config: str  # file of configs/
    common: Mapping[str, Any]  # settings of all variants, by their names after "config."
    split: str  # that is evaluated
    seeds: Sequence[int]
    reference: str  # the variant that the others are compared with
    variants: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        known = set(config_names(Experiment))
        for settings in (self.common, *self.variants.values()):
            for name in settings:
                if f"config.{name}" not in known:
                    raise unknown_name(f"config.{name}")
        if self.reference not in self.variants or not self.seeds:
            raise ValueError(f"a study needs seeds, and a reference out of {list(self.variants)}: {self.reference!r}")

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Variants and seeds, seed by seed, so that an unfinished study compares all variants."""
        return [(variant, seed) for seed in self.seeds for variant in self.variants]

    def flags(self, variant: str, seed: int) -> list[str]:
        """Return the flags of a training: those that the evaluation has too."""
        settings = {**self.common, **self.variants[variant], "seed": seed}
        return [f"--config={self.config}", *(f"--config.{name}={value}" for name, value in settings.items())]


def read_study(path: Path) -> Study:
    """Return the study that a Python file describes.

    Raises:
        ValueError: the file isn't there, or lacks something.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file; take one such as configs/studies/ciet.py")
    described = runpy.run_path(str(path))
    names = [field.name for field in dataclasses.fields(Study)]
    missing = [name.upper() for name in names if name.upper() not in described]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; configs/studies/ciet.py has all that a study needs")
    return Study(**{name: described[name.upper()] for name in names})


def run_job(study: Study, folder: Path, job: tuple[str, int], run: RunProgram) -> None:
    """Train and evaluate one variant with one seed, as far as that has not been done.

    Raises:
        ValueError: the workdir was begun with other settings.
    """
    workdir, flags = workdir_of(folder, *job), study.flags(*job)
    _claim(workdir, flags)
    if not is_finished(workdir):
        run(["train.py", *flags, f"--workdir={workdir}"])
    if not (evaluation_of(study, workdir) / CARD).is_file():
        run(["eval.py", *flags, f"--workdir={workdir}", f"--split={study.split}"])


def evaluation_of(study: Study, workdir: Path) -> Path:
    """Return the folder that eval.py writes into; its card comes after the predictions."""
    return workdir / EVALUATIONS / study.split


def _claim(workdir: Path, flags: list[str]) -> None:
    """Keep the settings of a workdir, so that a study that was changed since is not mixed with what it was."""
    kept = workdir / ARGUMENTS
    if not kept.is_file():
        workdir.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps(flags, indent=1) + "\n")
    elif (found := read_json(kept)) != flags:
        differ = sorted(set(map(str, found)) ^ set(flags)) if isinstance(found, list) else [str(found)]
        raise ValueError(f"{workdir} was begun with other settings ({', '.join(differ)}); choose another --folder")


def run_all(study: Study, folder: Path, jobs: Sequence[tuple[str, int]], processes: int, run: RunProgram) -> None:
    """Do the jobs, some at a time; after one has failed, or the user has interrupted it, no other begins."""
    with ThreadPoolExecutor(processes) as pool:
        try:
            for future in [pool.submit(run_job, study, folder, job, run) for job in jobs]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


Tallies = Mapping[str, Mapping[int, Tally]]
"""Of each variant, of each seed."""


def read_tallies(study: Study, folder: Path) -> Tallies:
    """Return the sums of all evaluations that are there.

    Raises:
        ValueError: some are of other data than the others.
    """
    found: dict[str, dict[int, Tally]] = {variant: {} for variant in study.variants}
    data: dict[str, Any] = {}
    for variant, seed in study.jobs:
        evaluation = evaluation_of(study, workdir_of(folder, variant, seed))
        if (evaluation / CARD).is_file():
            predictions = open_records(evaluation / PREDICTIONS)
            switches = {name: predictions.setting.switches.get(name) for name in IDENTITY}
            if data and switches != data:
                raise ValueError(f"{evaluation} is of other data than the evaluations before: {switches}, not {data}")
            data, tally = switches, Tally()
            for records in predictions.chunks():
                measures = own_measures(records, predictions.setting)
                tally.add(((name, each) for name, each in measures if name in NUMBERS), records.get("sequence"))
            found[variant][seed] = tally
    return found


def table(study: Study, tallies: Tallies) -> list[str]:
    """Return the lines of every number: each variant's mean and spread, and how it differs from the reference."""
    means = {
        variant: [{name: each.value for name, each in tally.scores(seed=None).items()} for tally in by_seed.values()]
        for variant, by_seed in tallies.items()
    }
    compared = {variant: _compared(tallies[study.reference], by_seed) for variant, by_seed in tallies.items()}
    lines = []
    for number in NUMBERS:
        rows = [
            f"  {variant:28s}{_mean_and_spread([each[number] for each in means[variant]])}"
            f"{_in_words(compared[variant].get(number))}".rstrip()
            for variant in study.variants
            if means[variant] and all(number in each for each in means[variant])
        ]
        lines += [f"{number}{' (the estimand)' if number == ESTIMAND else ''}", *rows, ""] if rows else []
    return [f"{'':30s}{'mean':>10s}{'spread':>9s}{'seeds':>7s}   minus {study.reference}, paired", *lines]


def _compared(reference: Mapping[int, Tally], variant: Mapping[int, Tally]) -> dict[str, Difference]:
    """Return differences over the seeds that both have; nothing of the reference and itself."""
    pairs = [(reference[seed], variant[seed]) for seed in variant if seed in reference]
    return differences(pairs) if pairs and variant is not reference else {}


def _mean_and_spread(values: Sequence[float]) -> str:
    """Return mean, standard deviation over seeds, and their number."""
    spread = f"{stdev(values):9.3f}" if len(values) > 1 else f"{'-':>9s}"
    return f"{fmean(values):10.3f}{spread}{len(values):7d}"


def _in_words(difference: Difference | None) -> str:
    if difference is None:
        return ""
    ends = "" if difference.low is None else f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    screening = (
        "; one seed: screening, the noise between trainings is not in it" if len(difference.by_pair) == 1 else ""
    )
    return f"   {difference.value:+.3f}{ends} {difference.in_words}{screening}"


def workdir_of(folder: Path, variant: str, seed: int) -> Path:
    """Return where a variant is trained with a seed."""
    return folder / variant.replace(", ", "-").replace(" ", "_") / str(seed)


def run_program(arguments: Sequence[str]) -> None:
    """Run a program of this repository in a process of its own.

    Raises:
        ValueError: it failed.
    """
    print(" ".join(arguments), flush=True)
    status = subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, check=False).returncode
    if status:
        raise ValueError(f"{' '.join(arguments)} ended with status {status}; start again when that is mended")


def main(arguments: Sequence[str] | None = None, run: RunProgram = run_program) -> int:
    """Do what the command line asks for; return the exit status."""
    return exit_status(lambda options: _ablate(options, run), _parser().parse_args(arguments))


def _ablate(options: argparse.Namespace, run: RunProgram) -> None:
    study, folder = read_study(options.study), options.folder.absolute()
    jobs = study.jobs if options.only is None else study.jobs[options.only : options.only + 1]
    if not options.table:
        run_all(study, folder, jobs, options.processes, run)
    if options.only is None:
        lines = table(study, read_tallies(study, folder))
        write_atomically(folder / TABLE, "\n".join(lines) + "\n")
        print("\n".join(lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.ablate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="file such as configs/studies/ciet.py")
    parser.add_argument("--folder", type=Path, required=True, help="where all workdirs and the table go")
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time")
    parser.add_argument("--only", type=int, help="number of one job, from 0, for an array of jobs; writes no table")
    parser.add_argument("--table", action="store_true", help="train nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Runs beside each other and published numbers: python -m occrobnet_jax.evaluation.compare RUN... [--published].

RUN is a JSON file that score --output wrote, or a folder WORKDIR/eval/SPLIT, which is then scored under --protocol.
Only numbers of the same protocol on the same data stand in one table; what isn't comparable is refused, with the
reason.

Folders are compared example by example, too: below the table stands each run minus the first, with the interval of a
bootstrap that draws the same sequences for both, and whether that is more than noise. Several trainings of one network
are given with those of the other, in the same order of seeds: NEW NEW ... --against OLD OLD ...
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.evaluation.formats.predictions_file import Truth, read_predictions
from occrobnet_jax.evaluation.metrics.measures import Tally
from occrobnet_jax.evaluation.metrics.paired import differences
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.metrics.published import PUBLISHED, Published
from occrobnet_jax.evaluation.metrics.scores import as_json, is_of_a_joint, score_all
from occrobnet_jax.files.paths import AnyPath, path_argument
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.user_errors import exit_status

PREDICTIONS = "predictions.npz"
IDENTITY = {
    "dataset": "the dataset",
    "dataset_version": "the version of the dataset",
    "dataset_sha256": "the content of the dataset",
    "split": "the split",
    "partial": "what the dataset lacks",
    "box_source": "the boxes of the crops",
}
"""Switches that two runs must not differ in."""


class Run(NamedTuple):
    """What one program scores."""

    name: str
    switches: Mapping[str, Any]
    scores: Mapping[str, Any]  # by protocol, as `scores.as_json` has them
    tallies: Mapping[str, Tally] = {}  # of the same, where the predictions are at hand


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what the command line names; return the exit status."""
    return exit_status(_compare, _parser().parse_args(arguments))


def read_run(path: AnyPath, protocols: Sequence[str]) -> Run:
    """Return the scores of a run.

    Raises:
        ValueError: there are none, or the file is damaged.
    """
    if path.is_dir():
        if not protocols:
            raise ValueError(f"{path} is a folder: say under which --protocol its predictions are to be scored")
        chunks, setting = read_predictions(path / PREDICTIONS, Truth())
        conventions = [each for name in protocols for each in find(name)]
        results, _ = score_all(chunks, setting, conventions, Extras())
        scores = {each.protocol: as_json(each) for each in results}
        return Run(str(path), setting.switches, scores, {each.protocol: each.tally for each in results})
    content = read_json(path)
    try:
        run = Run(str(path), dict(content["switches"]), dict(content["scores"]))
        for scored in run.scores.values():
            _check_scores(scored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no file that score --output wrote: {error!r}") from error
    return run


def common_protocols(runs: Sequence[Run], wanted: Sequence[str]) -> list[str]:
    """Return the protocols under which every run has numbers.

    Raises:
        ValueError: there is none.
    """
    common = [name for name in runs[0].scores if all(name in run.scores for run in runs)]
    if wanted:
        common = [name for name in common if any(_is_meant(name, each) for each in wanted)]
    if not common:
        held = "; ".join(f"{run.name}: {', '.join(run.scores) or 'none'}" for run in runs)
        raise ValueError(f"no protocol{' of those asked for' if wanted else ''} is common to all runs ({held})")
    return common


def check_same_data(runs: Sequence[Run], protocols: Sequence[str]) -> None:
    """Refuse runs of other examples, or of other data, than the first one's.

    Raises:
        ValueError: says in what two runs differ.
    """
    first, *others = runs
    for other in others:
        reasons = [
            f"{meaning} ({first.switches[name]!r} and {other.switches[name]!r})"
            for name, meaning in IDENTITY.items()
            if name in first.switches and name in other.switches and first.switches[name] != other.switches[name]
        ]
        reasons += [
            f"the number of examples under {name}"
            for name in protocols
            if first.scores[name]["num_examples"] != other.scores[name]["num_examples"]
        ]
        if not any(name in first.switches and name in other.switches for name in IDENTITY):
            reasons.append("that at least one of them doesn't say which data it is of")
        if reasons:
            raise ValueError(f"{first.name} and {other.name} are not comparable; they differ in {', '.join(reasons)}")


def table(runs: Sequence[Run], protocol: str, published: Sequence[Published]) -> list[str]:
    """Return the lines of one protocol: runs, comparable published rows, and why the others aren't."""
    names = [name for name in runs[0].scores[protocol]["numbers"] if not is_of_a_joint(name)]
    rows = [(run.name, {name: _with_interval(run, protocol, name) for name in names}) for run in runs]
    refused = []
    for row in (each for each in published if each.benchmark == protocol.split("/")[0]):
        reason = why_not(row, runs[0], protocol)
        if reason:
            refused.append(f"  not comparable: {row.method}: {reason}")
        else:
            figures = {name: f"{value:g}" for name, value in row.numbers.items()}
            rows.append((f"{row.method} ({row.source}; {row.sure})", figures))
    lines = [protocol]
    for name in names:
        filled = [(who, figures[name]) for who, figures in rows if name in figures]
        lines += [f"  {protocol}  {name}"] + [f"    {figure:28s}{who}" for who, figure in filled]
    return lines + refused


def difference_lines(old: Sequence[Run], new: Sequence[Run], protocol: str, by_sequence: bool) -> list[str]:
    """Return lines of the new runs minus the old ones, paired in order; none where predictions aren't at hand.

    Raises:
        ValueError: the runs are of other sequences.
    """
    if not all(protocol in run.tallies for run in (*old, *new)):
        return []
    pairs = [(first.tallies[protocol], second.tallies[protocol]) for first, second in zip(old, new, strict=True)]
    lines = [f"  {' + '.join(run.name for run in new)} minus {' + '.join(run.name for run in old)}, paired"]
    for name, each in differences(pairs).items():
        if is_of_a_joint(name):
            continue
        ends = "" if each.low is None or each.high is None else f"[{each.low:+.3f}, {each.high:+.3f}]"
        seeds = f"  seeds {', '.join(f'{value:+.3f}' for value in each.by_pair)}" if len(pairs) > 1 else ""
        lines.append(f"    {name:32s}{each.value:+10.3f}  {ends:20s}  {each.in_words}{seeds}")
        if by_sequence:
            lines += [f"      {sequence:40s}{value:+10.3f}" for sequence, value in each.by_sequence.items()]
    return lines


def why_not(row: Published, run: Run, protocol: str) -> str:
    """Return why a published row must not stand beside a run; empty if it may."""
    if row.protocol != protocol:
        return f"its protocol is {row.protocol or 'not stated'}" + (f" ({row.remark})" if row.remark else "")
    if run.switches.get("partial"):
        return f"the run is of partial data ({run.switches['partial'][0]})"
    version = str(run.switches.get("dataset_version", "unknown"))
    if not row.num_examples and (not row.version or not version.startswith(f"{row.version}.")):
        remark = f" ({row.remark})" if row.remark else ""
        return f"its data version is {row.version or 'not stated'}{remark}, the run's is {version}"
    if str(run.switches.get("split")) != row.split:
        return f"it is of the split {row.split}, the run of {run.switches.get('split', 'an unknown one')}"
    examples = run.scores[protocol]["num_examples"]
    if row.num_examples and examples != row.num_examples:
        return f"it is of {row.num_examples:,} examples, the run of {examples:,}"
    return ""


def _compare(options: argparse.Namespace) -> None:
    new, old = ([read_run(path, options.protocol or []) for path in paths] for paths in (options.runs, options.against))
    if old and len(old) != len(new):
        raise ValueError(f"{len(new)} runs can't be paired with {len(old)} in --against: give one for each seed")
    runs = [*new, *old]
    groups = [(old, new)] if old else [(new[:1], [run]) for run in new[1:]]
    protocols = common_protocols(runs, options.protocol or [])
    check_same_data(runs, protocols)
    for protocol in protocols:
        lines = table(runs, protocol, PUBLISHED if options.published else ())
        for first, second in groups:
            lines += difference_lines(first, second, protocol, options.by_sequence)
        print("\n".join(lines), end="\n\n")


def _is_meant(name: str, wanted: str) -> bool:
    """Return whether a resolved name is what somebody asked for: the same, more precise, or of that benchmark."""
    return name == wanted or name.startswith((f"{wanted}+", f"{wanted}/"))


def _check_scores(scored: Any) -> None:
    int(scored["num_examples"])
    for each in scored["numbers"].values():
        float(each["value"])


def _with_interval(run: Run, protocol: str, name: str) -> str:
    number = run.scores[protocol]["numbers"].get(name)
    if number is None:
        return "-"
    low, high = number.get("low"), number.get("high")
    return f"{number['value']:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("compare", __doc__)
    parser.add_argument("runs", type=path_argument, nargs="+", metavar="RUN")
    parser.add_argument("--protocol", action="append", metavar="NAME", help="as for score; may be given several times")
    parser.add_argument(
        "--against", type=path_argument, nargs="+", default=[], metavar="RUN", help="partners, in order of seeds"
    )
    parser.add_argument("--by_sequence", action="store_true", help="with the difference in each sequence")
    parser.add_argument("--published", action="store_true", help="with published numbers where they are comparable")
    return parser


if __name__ == "__main__":
    sys.exit(main())

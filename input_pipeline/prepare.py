"""Converts a dataset into TFDS shards: `python -m input_pipeline.prepare NAME [--raw DIR] --data_dir DIR`.

Resumable: run the same command again after an interruption. `synthetic_hands`, `synthetic_hands_v2` and
`synthetic_occlusion` are generated and need no --raw.
--data_dir may be gs://BUCKET/... or s3://BUCKET/...: the dataset is written on this machine's disk, and copied when it
is complete. `--verify` compares a prepared dataset with its manifest instead, and needs no --raw either.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from input_pipeline.convert.custom import CustomDataset
from input_pipeline.convert.first_examples import write_first_examples
from input_pipeline.convert.ho3d.h2o3d import H2O3D
from input_pipeline.convert.ho3d.ho3d import HO3D, VERSIONS
from input_pipeline.convert.interhand26m.layout import FRAME_RATES, SUBSETS, dataset_name
from input_pipeline.convert.interhand26m.source import InterHand26M
from input_pipeline.convert.manifest import report
from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.publish import find_published, publish, work_dir
from input_pipeline.convert.shards import is_written, write_dataset
from input_pipeline.convert.sources import Source
from input_pipeline.manifest import dataset_folder, verify
from input_pipeline.staging import newest_version
from input_pipeline.synthetic.matched_arms import SyntheticOcclusion
from input_pipeline.synthetic.photos import SyntheticPhotos
from input_pipeline.synthetic.source import SPLITS, SyntheticHands
from occrobnet_jax.files.paths import in_bucket, local_path_argument, path_argument

_EMBEDDED: dict[str, type[SyntheticHands]] = {
    "synthetic_hands": SyntheticHands,
    "synthetic_hands_v2": SyntheticPhotos,
    "synthetic_occlusion": SyntheticOcclusion,
}
_WORDS = {
    "synthetic_hands": "the embedded dataset, generated here",
    "synthetic_hands_v2": "hands as photos show them, generated here",
    "synthetic_occlusion": "the same scenes with and without what hides the hands, generated here",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, writes or verifies the dataset, print what is there. Returns the exit status."""
    options = parse_options(arguments)
    try:
        if options.verify:
            return _verify(options)
        with alone(options):
            source = make_source(options)
            find_published(source, options.data_dir)
            is_new = not is_written(source, work_dir(options.data_dir))
            folder = write_dataset(source, work_dir(options.data_dir), options.num_processes)
            remove_index(options)
            picture = write_first_examples(folder) if is_new else None
        print(f"{publish(folder, options.data_dir)}\n{report(folder)}")
        if picture:
            print(f"look at the labels of its first examples: {picture}")
    except (ValueError, OSError) as error:  # a full disk, a folder or bucket that can't be written
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def make_source(options: argparse.Namespace) -> Source:
    """Return the source that the options name.

    Raises:
        ValueError: the raw folder isn't what it should be.
    """
    if options.dataset in _EMBEDDED:
        counts = {split: getattr(options, split) for split in SPLITS}
        return _EMBEDDED[options.dataset](counts, options.image_size_px, options.seed)
    if options.dataset == "ho3d":
        return HO3D(options.raw, options.version, _occlusion(options))
    if options.dataset == "custom":
        return CustomDataset(options.raw, follow_links=options.follow_links)
    if options.dataset == "h2o3d":
        return H2O3D(options.raw, _occlusion(options))
    return InterHand26M(
        options.raw,
        _index(options),
        fps=options.fps,
        subset=options.subset,
        ids=options.ids,
        mano=options.mano,
        progress=True,
    )


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line; end the program with a usage error where it is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.dataset not in _EMBEDDED and options.raw is None and not options.verify:
        parser.error(f"{options.dataset} needs --raw DIR, the folder of its unpacked archives")
    if options.dataset in ("ho3d", "h2o3d") and bool(options.mano) != bool(options.object_models):
        parser.error("--mano and --object_models belong together: both hands and objects hide joints")
    return options


@contextlib.contextmanager
def alone(options: argparse.Namespace) -> Iterator[None]:
    """Within the block no other process of this machine prepares the same dataset in the same folder; any end lets go.

    Raises:
        ValueError: another one does, or the folder can't be written.
    """
    folder = work_dir(options.data_dir) / _prepared_name(options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ValueError(f"can't write to {folder}: {error.strerror}; choose another --data_dir") from error
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):  # there is something in it
            folder.rmdir()


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"another process prepares the dataset in {folder}; wait for it, or choose another --data_dir"
        ) from error


def remove_index(options: argparse.Namespace) -> None:
    """Remove what only the conversion needed."""
    shutil.rmtree(_index(options), ignore_errors=True)


def _occlusion(options: argparse.Namespace) -> Occlusion | None:
    return Occlusion(options.mano, options.object_models) if options.mano else None


def _verify(options: argparse.Namespace) -> int:
    place, name = options.data_dir, _prepared_name(options)
    folder = newest_version(place / name) if in_bucket(place) else dataset_folder(place, name)
    wrong = verify(folder)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    print(f"{folder}: {f'{len(wrong)} files are not as written' if wrong else 'all files are as written'}")
    return 1 if wrong else 0


def _index(options: argparse.Namespace) -> Path:
    """Return where tables are kept until the dataset is there, so that a resumed run finds them."""
    return work_dir(options.data_dir) / f"{_prepared_name(options)}.index"


def _prepared_name(options: argparse.Namespace) -> str:
    """Return the name of the prepared dataset."""
    if options.dataset == "interhand26m":
        return dataset_name(options.fps, options.subset)
    return f"ho3d_{options.version}" if options.dataset == "ho3d" else options.dataset


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m input_pipeline.prepare", description=__doc__)
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="NAME")
    embedded = [_add_embedded(datasets, name) for name in _EMBEDDED]
    interhand = datasets.add_parser("interhand26m", help="InterHand2.6M from its official tree")
    interhand.add_argument("--fps", type=int, choices=FRAME_RATES, default=5, help="which of the two image sets")
    interhand.add_argument("--subset", choices=SUBSETS, default="all", help="all = H+M, human = H, machine = M")
    interhand.add_argument(
        "--ids", type=local_path_argument, help="folder with aid_human_annot_*.txt, for --subset on v1.0"
    )
    ho3d = datasets.add_parser("ho3d", help="HO-3D from its official tree; becomes ho3d_v2 or ho3d_v3")
    ho3d.add_argument("--version", choices=VERSIONS, required=True)
    h2o3d = datasets.add_parser("h2o3d", help="H2O-3D v1 from its official tree")
    for dataset in (interhand, ho3d, h2o3d):
        dataset.add_argument("--mano", type=local_path_argument, help="folder with MANO_RIGHT.pkl and MANO_LEFT.pkl")
    for dataset in (ho3d, h2o3d):
        dataset.add_argument(
            "--object_models", type=local_path_argument, help="folder with 003_cracker_box.obj, or such folders"
        )
    custom = datasets.add_parser("custom", help="a dataset of your own, see docs/custom_dataset.md")
    custom.add_argument("--follow_links", action="store_true", help="photos may be links that lead out of the folder")
    for dataset in (interhand, ho3d, h2o3d, custom):
        dataset.add_argument(
            "--raw", type=local_path_argument, help="folder of the unpacked archives, or of your own dataset"
        )
    for dataset in (*embedded, interhand, ho3d, h2o3d, custom):
        dataset.add_argument(
            "--data_dir", type=path_argument, required=True, help="where TFDS datasets live, here or in a bucket"
        )
        dataset.add_argument("--num_processes", type=_positive, default=os.cpu_count() or 1)
        dataset.add_argument("--verify", action="store_true", help="compare the prepared files with their manifest")
    return parser


def _add_embedded(datasets: Any, name: str) -> argparse.ArgumentParser:
    """Add the command of a dataset that is generated; its defaults are those of the source."""
    source, parser = _EMBEDDED[name](), datasets.add_parser(name, help=_WORDS[name])
    for split, count in source.splits.items():
        parser.add_argument(f"--{split}", type=_positive, default=count, help=f"number of {split} examples")
    parser.add_argument("--image_size_px", type=_positive, default=source.image_size_px)
    parser.add_argument("--seed", type=int, default=source.seed)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())

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

from input_pipeline.convert.datasets import DATASETS, index_folder, positive, prepared_name
from input_pipeline.convert.first_examples import write_first_examples
from input_pipeline.convert.manifest import report
from input_pipeline.convert.publish import find_published, publish, work_dir
from input_pipeline.convert.shards import is_written, write_dataset
from input_pipeline.convert.sources import Source
from input_pipeline.manifest import dataset_folder, verify
from input_pipeline.staging import newest_version
from occrobnet_jax.files.paths import in_bucket, path_argument
from occrobnet_jax.user_errors import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or verify the dataset that the command line names, and print what is there; return the exit status."""
    options = parse_options(arguments)
    return exit_status(_verify if options.verify else _prepare, options)


def _prepare(options: argparse.Namespace) -> None:
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


def make_source(options: argparse.Namespace) -> Source:
    """Return the source that the options name.

    Raises:
        ValueError: the raw folder isn't what it should be.
    """
    return DATASETS[options.dataset].source(options)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line; end the program with a usage error where it is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if "raw" in options and options.raw is None and not options.verify:
        parser.error(f"{options.dataset} needs --raw DIR, the folder of its unpacked archives")
    if "object_models" in options and bool(options.mano) != bool(options.object_models):
        parser.error("--mano and --object_models belong together: both hands and objects hide joints")
    return options


@contextlib.contextmanager
def alone(options: argparse.Namespace) -> Iterator[None]:
    """Keep other processes of this machine from preparing the same dataset in the same folder; any end lets go.

    Raises:
        ValueError: another one does, or the folder can't be written.
    """
    folder = work_dir(options.data_dir) / prepared_name(options)
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
    shutil.rmtree(index_folder(options), ignore_errors=True)


def _verify(options: argparse.Namespace) -> int:
    place, name = options.data_dir, prepared_name(options)
    folder = newest_version(place / name) if in_bucket(place) else dataset_folder(place, name)
    wrong = verify(folder)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    print(f"{folder}: {f'{len(wrong)} files are not as written' if wrong else 'all files are as written'}")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m input_pipeline.prepare", description=__doc__)
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="NAME")
    for name, dataset in DATASETS.items():
        own = datasets.add_parser(name, help=dataset.help)
        dataset.add_options(own)
        own.add_argument(
            "--data_dir", type=path_argument, required=True, help="where TFDS datasets live, here or in a bucket"
        )
        own.add_argument("--num_processes", type=positive, default=os.cpu_count() or 1)
        own.add_argument("--verify", action="store_true", help="compare the prepared files with their manifest")
    return parser


if __name__ == "__main__":
    sys.exit(main())

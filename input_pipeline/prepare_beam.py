"""The conversion of `input_pipeline.prepare` on Apache Beam: shards are mapped over the workers of any runner.

    python -m input_pipeline.prepare_beam NAME --raw DIR --data_dir DIR [-- --runner=... and other options of Beam]

Raw folder and data folder must be reachable from all workers under the same paths. Started again, it goes on after
the shards that are there. Needs the environment of requirements/beam.txt; without options Beam's direct runner works
in this process.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from input_pipeline.convert.manifest import report
from input_pipeline.convert.shards import finish, missing_shards, start, write_shard
from input_pipeline.convert.sources import Source
from input_pipeline.prepare import make_source, parse_options, remove_index
from occrobnet_jax.files.paths import local_path_of
from occrobnet_jax.user_errors import exit_status


def write_dataset_with_beam(source: Source, data_dir: Path, beam_arguments: Sequence[str] = ()) -> Path:
    """Write what is missing of a source's shards on a Beam runner; return the dataset's folder.

    Raises:
        ValueError: see `shards.write_dataset`.
    """
    folder = start(source, data_dir)
    shards = missing_shards(source, folder)
    if shards:
        with beam.Pipeline(options=PipelineOptions(list(beam_arguments))) as pipeline:
            numbers = pipeline | beam.Create(shards) | beam.Reshuffle()
            _ = numbers | beam.Map(lambda shard: write_shard(source, shard))
    finish(source, folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the dataset, print what is there; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    own, beams = (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    return exit_status(_prepare, parse_options(own), beams)


def _prepare(options: argparse.Namespace, beam_arguments: Sequence[str]) -> None:
    folder = write_dataset_with_beam(make_source(options), local_path_of(options.data_dir), beam_arguments)
    remove_index(options)
    print(f"{folder}\n{report(folder)}")


if __name__ == "__main__":
    sys.exit(main())

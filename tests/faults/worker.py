"""What runs inside a process of the fault laboratory: train.py or eval.py as they are, on a small network.

With RECORD_KEYS=FOLDER in the environment each host appends, for every training batch that it takes, one line of JSON
to `FOLDER/FIRST_POSITION.HOST-of-HOSTS.jsonl`: the keys of its share, in order. NETWORK=stand_in replaces the network.
With HANG_AFTER=N the data source never answers after N examples. With SLOW_EVALUATION=S every batch of an evaluation
takes S seconds longer.

    python -m tests.faults.worker train.py --config=tests/faults/tiny_config.py --workdir=DIR
"""

import itertools
import json
import os
import runpy
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from input_pipeline import pipeline
from occrobnet_jax.evaluation import evaluate
from occrobnet_jax.models.resnet import STAGE_SIZES
from tests.faults.stand_in import use_stand_in

REPOSITORY = Path(__file__).parents[2]


def run(arguments: list[str]) -> None:
    """Runs a program of the repository's root with its flags."""
    STAGE_SIZES["resnet18"] = (1, 1, 1, 1)
    if folder := os.environ.get("RECORD_KEYS"):
        record_keys(Path(folder))
    if examples := os.environ.get("HANG_AFTER"):
        hang_after(int(examples))
    if seconds := os.environ.get("SLOW_EVALUATION"):
        slow_evaluation(float(seconds))
    if os.environ.get("NETWORK") == "stand_in":
        use_stand_in()
    sys.argv = arguments
    runpy.run_path(str(REPOSITORY / arguments[0]), run_name="__main__")


def record_keys(folder: Path) -> None:
    """Puts the record between the pipeline and whoever imports it from now on."""
    open_batches = pipeline.train_batches

    def train_batches(*arguments: Any, examples_seen: int, host: int, num_hosts: int, **named: Any) -> Any:
        batches = open_batches(*arguments, examples_seen=examples_seen, host=host, num_hosts=num_hosts, **named)
        return recorded(batches, folder / f"{examples_seen}.{host}-of-{num_hosts}.jsonl")

    pipeline.train_batches = train_batches  # type: ignore[assignment]


def recorded(batches: Iterator[dict[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    """The same batches; their keys are on disk before the step that learns from them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w") as file:
            for batch in batches:
                file.write(json.dumps([key.decode() if isinstance(key, bytes) else str(key) for key in batch["key"]]))
                file.write("\n")
                file.flush()
                yield batch
    finally:
        batches.close()  # type: ignore[attr-defined]


def hang_after(examples: int) -> None:
    """Makes the source of training examples block for ever, as a file system that went away does."""
    numbers, read = itertools.count(), pipeline.training_cut

    def source_that_hangs(*arguments: Any) -> Any:
        if next(numbers) >= examples:
            threading.Event().wait()
        return read(*arguments)

    pipeline.training_cut = source_that_hangs  # type: ignore[assignment]


def slow_evaluation(seconds: float) -> None:
    """Makes evaluations last, as those of large splits do."""
    open_batches = evaluate.eval_batches

    def eval_batches(*arguments: Any, **named: Any) -> Iterator[dict[str, Any]]:
        for batch in open_batches(*arguments, **named):
            time.sleep(seconds)
            yield batch

    evaluate.eval_batches = eval_batches


if __name__ == "__main__":
    run(sys.argv[1:])

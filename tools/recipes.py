"""Prints what the benchmark configs derive from the size of a batch: python -m tools.recipes.

docs/recipes.md holds this table; a test compares the two.
"""

import importlib

from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import Experiment

BATCHES = (32, 96, 768)
DATASETS = {
    "interhand26m": ("subset=human", "subset=machine"),
    "ho3d": ("version=v3", "split=train+val"),
    "h2o3d": ("ho3d=v2", "ho3d=none"),
}
HEAD = (
    "config",
    "examples",
    "epochs",
    "steps",
    "true keypoints",
    "evaluation every",
    "checkpoint every",
    "learning rate",
    "of the backbone",
)


def row(name: str, arguments: str) -> list[str]:
    """Return a config's cells: lengths in steps, epochs as they come out of them."""
    experiment = experiment_from(importlib.import_module(f"configs.{name}").get_config(arguments).to_dict())
    return [
        f"`{name}.py:{arguments}`",
        f"{experiment.recipe.train_examples:,}",
        f"{epochs(experiment):.2f}",
        f"{experiment.total_steps:,}",
        f"{experiment.teacher_forced_steps:,}",
        f"{experiment.eval_every_steps:,}" if experiment.eval_every_steps else "-",
        f"{experiment.checkpoint_every_steps:,}",
        f"{experiment.optimizer.learning_rate:.2e}",
        f"{experiment.optimizer.backbone_learning_rate:.2e}",
    ]


def epochs(experiment: Experiment) -> float:
    """Return how often the whole run sees each example."""
    return experiment.total_steps * experiment.global_batch_size / experiment.recipe.train_examples


def table() -> str:
    """Return the Markdown table: all batches of the three datasets, and their other versions at the recipe's own
    batch.
    """
    rows = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1)]
    for name, others in DATASETS.items():
        rows += [row(name, f"batch={batch}") for batch in BATCHES]
        rows += [row(name, other) for other in others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    print(table())

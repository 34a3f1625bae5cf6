"""Keypoint Transformer's recipe, which the configs of the three benchmarks share."""

import math

from ml_collections import ConfigDict

from configs import default

BATCH = 96


def get_recipe(train_examples: int, epochs: int, teacher_forced_epochs: int, evaluation_epochs: int = 0) -> ConfigDict:
    """Defaults with a schedule in epochs of 96 examples a step.

    Args:
        train_examples: in an epoch.
        epochs: of the whole run.
        teacher_forced_epochs: first ones, with tokens at the true keypoints.
        evaluation_epochs: from one evaluation during training to the next; 0 for none.
    """

    def steps(epochs: int) -> int:
        return math.ceil(epochs * train_examples / BATCH)  # an epoch that ends within a batch goes on into the next

    config = default.get_config()
    config.global_batch_size = BATCH
    config.total_steps = steps(epochs)
    config.teacher_forced_steps = steps(teacher_forced_epochs)
    config.eval_every_steps = steps(evaluation_epochs)
    config.checkpoint_every_steps = 2_000
    config.compute_dtype = "bfloat16"
    config.data.num_workers = 8
    # What hides a joint is known only where the dataset was prepared with --mano (and --object_models).
    config.model.visibility_head = False
    return config

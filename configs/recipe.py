"""What the configs of the three benchmarks share: lengths in epochs, and what follows from another batch size.

After the colon of --config=configs/interhand26m.py:batch=768,epochs=15 stand settings that others are derived from:

    batch     examples a step, over all devices
    epochs    of the whole run; true keypoints are taken in the same part of it, evaluations stay as far apart
    examples  in an epoch, for a training split of another size than the published one

Steps follow from epochs. Learning rates grow with the square root of the batch, from those of the recipe's own batch:
Malladi et al., On the SDEs and Scaling Rules for Adaptive Gradient Algorithms (arXiv 2205.10287), and so did You et al.
train BERT with LAMB (arXiv 1904.00962). The betas, which Malladi et al. scale too, stay as they are.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

from ml_collections import ConfigDict

from configs import default

BATCH = 96
KYPT_BATCH = 90  # of each of Keypoint Transformer's GPUs
CHECKPOINT_EXAMPLES = 2_000 * BATCH  # from one checkpoint to the next
NUMBERS = ("batch", "epochs", "examples")


def settings(text: str, **choices: tuple[str, ...]) -> dict[str, str]:
    """Return what stands after the colon of --config=FILE:NAME=VALUE,NAME=VALUE.

    Args:
        text: that.
        choices: by name, the values that this config takes besides `NUMBERS`; the first is the default.

    Raises:
        ValueError: a name that the config does not have, or a value that it does not take.
    """
    given = dict(part.partition("=")[::2] for part in text.split(",") if part)
    for name, value in given.items():
        if name not in choices and name not in NUMBERS:
            raise ValueError(f"{name!r} after the config's colon is none of {', '.join((*NUMBERS, *choices))}")
        if name in choices and value not in choices[name]:
            raise ValueError(f"{name}={value} after the config's colon: {name} is one of {', '.join(choices[name])}")
        if name in NUMBERS and not (value.isdecimal() and int(value)):
            raise ValueError(f"{name}={value} after the config's colon: {name} is a whole number above 0")
    return {name: values[0] for name, values in choices.items()} | given


def get_recipe(
    given: Mapping[str, str],
    train_examples: int,
    *,
    epochs: int,
    teacher_forced_epochs: int,
    evaluation_epochs: int = 0,
    own_batch: int = BATCH,
) -> ConfigDict:
    """Return Keypoint Transformer's recipe: the defaults, with lengths and learning rates for the batch that was asked
    for.

    Args:
        given: `settings` of the command line, which go before the arguments below.
        train_examples: in an epoch.
        epochs: of the whole run.
        teacher_forced_epochs: first ones, with tokens at the true keypoints.
        evaluation_epochs: from one evaluation during training to the next; 0 for none.
        own_batch: that the default learning rates are of.
    """
    batch, examples = int(given.get("batch", own_batch)), int(given.get("examples", train_examples))
    length = Fraction(given.get("epochs", epochs))

    def steps(epochs: Fraction) -> int:
        return math.ceil(epochs * examples / batch)  # an epoch that ends within a batch goes on into the next

    config = default.get_config()
    config.global_batch_size = batch
    config.total_steps = steps(length)
    config.teacher_forced_steps = steps(teacher_forced_epochs * length / epochs)
    config.checkpoint_every_steps = math.ceil(CHECKPOINT_EXAMPLES / batch)
    if evaluation := steps(Fraction(evaluation_epochs)):
        # Whatever is evaluated is saved, or the best could not stay.
        checkpoints = max(1, round(evaluation / config.checkpoint_every_steps))
        config.checkpoint_every_steps = math.ceil(evaluation / checkpoints)
    config.eval_every_steps = checkpoints * config.checkpoint_every_steps if evaluation else 0
    config.optimizer.learning_rate *= math.sqrt(batch / own_batch)
    config.optimizer.backbone_learning_rate *= math.sqrt(batch / own_batch)
    config.recipe.update(global_batch_size=batch, train_examples=examples, needs_weights=True)

    config.compute_dtype = "bfloat16"
    config.data.num_workers = 8
    config.model.batch_norm = "affine_frozen"
    # What hides a joint is known only where the dataset was prepared with --mano (and --object_models).
    config.model.visibility_head = False
    return config


def keypoint_transformer(config: ConfigDict) -> ConfigDict:
    """Set Keypoint Transformer as its code trained it, in place of OccRobNet (the table of docs/choices.md)."""
    config.compute_dtype = "float32"
    config.model.update(neck="unet", ciet="off", input_normalisation="unit", joints_2d_head=False, neck_init_std=0.001)
    config.model.hand_presence = "tokens"  # its head of the hands is trained with weight 0
    config.loss.hand_type = 0.0
    config.loss.object_translation_factors = config.loss.object_corner_factors
    config.data.update(crop_centre="half_size", crop_averaging=False)
    return config


def stronger(config: ConfigDict) -> ConfigDict:
    """Return what is known to help elsewhere and none of the parents had, beside the same network [ours]."""
    config.model.hand_maps_head = True  # taught where masks of the hands are stored: `prepare --mano` draws them
    optimizer = config.optimizer
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = config.total_steps // 100
    optimizer.clip_norm = 1.0
    optimizer.average_decay = 0.9998 ** (config.global_batch_size / BATCH)  # forgets by examples (arXiv 2307.13813)
    return config


def from_scratch(config: ConfigDict) -> ConfigDict:
    """Return the same experiment without pretrained weights, with the settings of `configs/synthetic.py` [ours]."""
    config.recipe.needs_weights = False
    config.model.batch_norm = "trained"
    config.model.heatmap_gain = 255.0
    config.model.min_keypoints = 16

    optimizer = config.optimizer
    optimizer.learning_rate *= 3
    optimizer.backbone_learning_rate = optimizer.learning_rate
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = config.total_steps // 100
    optimizer.clip_norm = 1.0
    return config

"""What a config derived its steps and learning rates from, so that nobody changes half of it unawares."""

from occrobnet_jax.runs.experiment import RecipeConfig

TOLERANCE = 0.1  # of the number of examples: a dataset of which a little is missing is still the same one

IMAGENET_WEIGHTS = "https://download.pytorch.org/models/resnet50-0676ba61.pth"


def check_lengths(recipe: RecipeConfig, global_batch_size: int, train_examples: int) -> None:
    """Compare what steps and rates were derived from with what there is.

    Raises:
        ValueError: batch size or dataset are others; says how to derive them anew.
    """
    if recipe.global_batch_size not in (0, global_batch_size):
        raise ValueError(
            f"config.global_batch_size={global_batch_size}, but steps and learning rates of this config are of batches "
            f"of {recipe.global_batch_size}; --config=FILE.py:batch={global_batch_size} derives all of them "
            f"(--config.recipe.global_batch_size={global_batch_size} beside it leaves them as they are)"
        )
    expected = recipe.train_examples
    if expected and abs(train_examples - expected) > TOLERANCE * expected:
        raise ValueError(
            f"the training split has {train_examples:,} examples, but steps of this config are of epochs of "
            f"{expected:,}; --config=FILE.py:examples={train_examples} derives them, or one of the config's own "
            f"settings (--config.recipe.train_examples={train_examples} leaves them as they are)"
        )


def check_weights(recipe: RecipeConfig, backbone_weights: str, init_from: str) -> None:
    """Refuse to begin a run from drawn weights with a recipe for pretrained ones.

    Raises:
        ValueError: no weights are given.
    """
    if recipe.needs_weights and not (backbone_weights or init_from):
        raise ValueError(
            "this config trains a pretrained backbone, at a learning rate far too low for a drawn one; name its file "
            f"with --config.model.backbone_weights=FILE: torchvision's is at {IMAGENET_WEIGHTS}, and timm's "
            ".safetensors will do as well (docs/recipes.md). From drawn weights train the config whose name ends in "
            "_scratch"
        )

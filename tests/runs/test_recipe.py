import pytest

from occrobnet_jax.runs.experiment import RecipeConfig
from occrobnet_jax.runs.recipe import check_lengths, check_weights

RECIPE = RecipeConfig(global_batch_size=96, train_examples=1_361_062, needs_weights=True)


@pytest.mark.parametrize("examples", [1_361_062, 1_361_062 - 100_000])
def test_what_the_steps_were_derived_from_passes(examples):
    check_lengths(RECIPE, 96, examples)
    check_lengths(RecipeConfig(), 7, 11)


def test_another_batch_alone_is_answered_with_the_setting_that_derives_the_steps():
    with pytest.raises(ValueError, match=r"global_batch_size=768, but steps .* of 96; --config=FILE.py:batch=768"):
        check_lengths(RECIPE, 768, 1_361_062)


def test_a_dataset_of_another_size_is_answered_with_the_setting_that_derives_the_steps():
    with pytest.raises(ValueError, match=r"528,482 examples, but .* 1,361,062; --config=FILE.py:examples=528482"):
        check_lengths(RECIPE, 96, 528_482)


def test_a_recipe_for_pretrained_weights_is_not_begun_without_any():
    with pytest.raises(ValueError, match=r"--config.model.backbone_weights=FILE: .*resnet50-0676ba61.pth.* _scratch"):
        check_weights(RECIPE, "", "")
    check_weights(RECIPE, "resnet50.pth", "")
    check_weights(RECIPE, "", "runs/another")
    check_weights(RecipeConfig(), "", "")

"""OccRobNet on InterHand2.6M v1.0 (5 fps, H+M), with Keypoint Transformer's recipe.

    python -m input_pipeline.prepare interhand26m --raw=InterHand2.6M --data_dir=data
    python train.py --config=configs/interhand26m.py --workdir=runs/interhand26m --config.data.data_dir=data

Another subset or frame rate is another dataset: prepare it with `--subset` or `--fps`, and name it, for example
`--config.data.name=interhand26m_human`.

Expected: not measured, the licensed images were not at hand. The paper reports 11.43 mm (depth source and joint set
unstated). The recipe assumes an ImageNet backbone (`model.backbone_weights`); from scratch take
`optimizer.backbone_learning_rate=1e-4`.

One GPU of 24 GB, estimated, not measured: batch 32 in bfloat16 takes 12 to 18 GB (`--config.global_batch_size=32
--config.total_steps=1275990 --config.teacher_forced_steps=212665`) and 21 to 40 hours at 25 TFLOP/s, about 1.5 TFLOP
a step; a batch of 16 halves the memory and needs twice the steps.
"""

from ml_collections import ConfigDict

from configs.recipe import get_recipe

TRAIN_EXAMPLES = 1_361_062  # H+M


def get_config() -> ConfigDict:
    """2.5D with one decoder layer, 30 epochs, true keypoints in the first five."""
    config = get_recipe(TRAIN_EXAMPLES, epochs=30, teacher_forced_epochs=5, evaluation_epochs=1)
    config.data.name = "interhand26m"
    config.data.eval_split = "val"

    config.model.representation = "2.5d"
    config.model.with_object = False
    config.model.max_joint_keypoints = 100
    return config

"""OccRobNet on InterHand2.6M v1.0 (5 fps, H+M), with Keypoint Transformer's recipe.

    python -m input_pipeline.prepare interhand26m --raw=InterHand2.6M --data_dir=data
    python train.py --config=configs/interhand26m.py --workdir=runs/interhand26m --config.data.data_dir=data \
        --config.model.backbone_weights=resnet50.pth

`:subset=human` or `machine` is the dataset prepared with that `--subset` (H has no `val`, so that it is not evaluated
during training). Another frame rate has another name and
another size: `--config=configs/interhand26m.py:examples=N --config.data.name=interhand26m_30fps`. Another batch size is
`:batch=32`; docs/recipes.md has what follows from it, and where the ImageNet weights come from. Without them:
`configs/interhand26m_scratch.py`.

Expected: not measured, the licensed images were not at hand. The paper reports 11.43 mm (depth source and joint set
unstated). Evaluation puts hands at the true depth of their wrists; the network's own, whose error is mostly the size of
the hand, would choose another checkpoint as the best: `--config.root_depth=own`.

One GPU of 24 GB, estimated, not measured: `:batch=32` in bfloat16 takes 12 to 18 GB and 21 to 40 hours at 25 TFLOP/s,
about 1.5 TFLOP a step; a batch of 16 halves the memory and needs twice the steps.
"""

from ml_collections import ConfigDict

from configs.recipe import BATCH, get_recipe, settings
from input_pipeline.convert.published_counts import INTERHAND26M_5FPS

NAMES = {"all": "interhand26m", "human": "interhand26m_human", "machine": "interhand26m_machine"}


def get_config(arguments: str = "", own_batch: int = BATCH) -> ConfigDict:
    """Return the config: 2.5D with one decoder layer, 30 epochs, true keypoints in the first five."""
    given = settings(arguments, subset=tuple(NAMES))
    counts = INTERHAND26M_5FPS[given["subset"]]
    has_val = "val" in counts  # H has none, and none of its checkpoints is chosen by its test split
    config = get_recipe(
        given,
        counts["train"]["examples"],
        epochs=30,
        teacher_forced_epochs=5,
        evaluation_epochs=1 if has_val else 0,
        own_batch=own_batch,
    )
    config.data.name = NAMES[given["subset"]]
    config.data.eval_split = "val" if has_val else "test"
    config.root_depth = "ground_truth"

    config.model.representation = "2.5d"
    config.model.with_object = False
    config.model.max_joint_keypoints = 100
    return config

"""OccRobNet on HO-3D from drawn weights, where no ImageNet backbone is at hand; else take `configs/ho3d.py`.

    python train.py --config=configs/ho3d_scratch.py --workdir=runs/ho3d_scratch \
        --config.data.data_dir=data

Takes the same settings after a colon. Expected: not measured, and worse than with pretrained weights; time and memory
are the same.
"""

from ml_collections import ConfigDict

from configs import ho3d
from configs.recipe import from_scratch


def get_config(arguments: str = "") -> ConfigDict:
    """Return all weights at one learning rate, BatchNorm trained, a cosine after a warm-up."""
    return from_scratch(ho3d.get_config(arguments))

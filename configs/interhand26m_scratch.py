"""OccRobNet on InterHand2.6M from drawn weights, where there is no ImageNet backbone (else `configs/interhand26m.py`).

    python train.py --config=configs/interhand26m_scratch.py --workdir=runs/interhand26m_scratch \
        --config.data.data_dir=data

Takes the same settings after a colon. Expected: not measured, and worse than with pretrained weights; time and memory
are the same.
"""

from ml_collections import ConfigDict

from configs import interhand26m
from configs.recipe import from_scratch


def get_config(arguments: str = "") -> ConfigDict:
    """Return all weights at one learning rate, BatchNorm trained, a cosine after a warm-up."""
    return from_scratch(interhand26m.get_config(arguments))

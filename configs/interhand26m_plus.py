"""A stronger sibling of `configs/interhand26m.py`: soft-argmax, a cosine after a warm-up, clipping, averaged weights.

Maps of both hands beside the object's, too, taught where `prepare --mano` has drawn their masks.

Not measured: whether it is stronger is what these commands would tell, against A2J-Transformer's 9.63 mm.

    python train.py --config=configs/interhand26m_plus.py --workdir=runs/interhand26m_plus \
        --config.data.data_dir=data --config.model.backbone_weights=resnet50.pth
    python eval.py --config=configs/workdir.py:runs/interhand26m_plus --workdir=runs/interhand26m_plus --split=test
    python -m occrobnet_jax.evaluation.score runs/interhand26m_plus/eval/test/predictions.npz \
        --protocol=interhand26m --output=runs/interhand26m_plus.json

Time and memory: as `configs/interhand26m.py`, and 177 MB for the averaged weights.
"""

from ml_collections import ConfigDict

from configs import interhand26m
from configs.recipe import stronger


def get_config(arguments: str = "") -> ConfigDict:
    """Return the same experiment with another schedule and decoding."""
    config = stronger(interhand26m.get_config(arguments))
    config.model.axis_decoding = "soft_argmax"
    return config

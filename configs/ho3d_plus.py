"""A stronger sibling of `configs/ho3d.py`: a cosine after a warm-up, clipping, averaged weights.

Maps of both hands beside the object's, too, taught where `prepare --mano` has drawn their masks.

Not measured: whether it is stronger is what these commands would tell, against WiLoR's 7.5 mm, Procrustes-aligned.

    python train.py --config=configs/ho3d_plus.py --workdir=runs/ho3d_plus \
        --config.data.data_dir=data --config.model.backbone_weights=resnet50.pth
    python eval.py --config=configs/workdir.py:runs/ho3d_plus --workdir=runs/ho3d_plus --split=evaluation
    python -m occrobnet_jax.evaluation.score runs/ho3d_plus/eval/evaluation/predictions.npz \
        --protocol=ho3d_v2 --output=runs/ho3d_plus.json

Time and memory: as `configs/ho3d.py`, and 177 MB for the averaged weights.
"""

from ml_collections import ConfigDict

from configs import ho3d
from configs.recipe import stronger


def get_config(arguments: str = "") -> ConfigDict:
    """Return the same experiment with another schedule."""
    return stronger(ho3d.get_config(arguments))

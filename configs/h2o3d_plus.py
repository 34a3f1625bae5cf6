"""A stronger sibling of `configs/h2o3d.py`: a cosine after a warm-up, clipping, averaged weights.

Maps of both hands beside the object's, too, taught where `prepare --mano` has drawn their masks.

Not measured: whether it is stronger is what these commands would tell, against the paper's 2.86 cm, on the server only.

    python train.py --config=configs/h2o3d_plus.py --workdir=runs/h2o3d_plus \
        --config.data.data_dir=data --config.model.backbone_weights=resnet50.pth
    python eval.py --config=configs/workdir.py:runs/h2o3d_plus --workdir=runs/h2o3d_plus --split=h2o3d/val
    python -m occrobnet_jax.evaluation.score runs/h2o3d_plus/eval/h2o3d/val/predictions.npz \
        --protocol=h2o3d --output=runs/h2o3d_plus.json

Time and memory: as `configs/h2o3d.py`, and 177 MB for the averaged weights.
"""

from ml_collections import ConfigDict

from configs import h2o3d
from configs.recipe import stronger


def get_config(arguments: str = "") -> ConfigDict:
    """Return the same experiment with another schedule."""
    return stronger(h2o3d.get_config(arguments))

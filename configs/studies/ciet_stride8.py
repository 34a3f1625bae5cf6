"""The same question with CIET at stride 8: 64 cells to look through in crops of 64 px, where `ciet.py` has 16.

    python train.py --config=configs/synthetic_occlusion.py --workdir=runs/eyes8 --config.data.data_dir=data \
        --config.init_from=configs/studies/eyes.safetensors --config.model.ciet_stride=8 --config.total_steps=600 \
        --config.optimizer.muon_rms=1.0
    python -m tools.ablate configs/studies/ciet_stride8.py --folder=runs/ciet8

The first command gives the shared network, still without CIET, a pyramid that is rebuilt from stride 8. The table is
`ciet_stride8.txt`; docs/results.md says what it tells.
"""

from configs.studies import ciet

CONFIG = ciet.CONFIG
COMMON = ciet.COMMON | {"init_from": "runs/eyes8", "model.ciet_stride": 8}
SPLIT = ciet.SPLIT
SEEDS = ciet.SEEDS

REFERENCE = ciet.REFERENCE
VARIANTS = {name: ciet.VARIANTS[name] for name in ("off", "dual", "softmax", "sigmoid", "pointwise")}

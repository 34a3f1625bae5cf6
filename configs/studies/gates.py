"""Does a gate that can't saturate help where the published one does? CIET's variants on single hands, from shared maps.

    python -m tools.ablate configs/studies/gates.py --folder=runs/gates

after the commands of configs/single_hands.py. Backbone, pyramid and maps are those of runs/single in all variants, and
were taught without CIET; all that sees CIET begins anew. The estimand is that of configs/studies/ciet.py.
"""

CONFIG = "configs/single_hands.py"
COMMON = {
    "data.data_dir": "data",
    "init_from": "runs/single",
    "model.frozen_stages": 4,
    "total_steps": 320,
}
SPLIT = "test"
SEEDS = (0, 1, 2)

REFERENCE = "off"
VARIANTS: dict[str, dict[str, str | bool]] = {
    "off": {"model.ciet": "off"},
    "dual": {"model.ciet": "dual"},
    "dual, one length": {"model.ciet": "dual", "model.ciet_qk_norm": True},
    "softmax, one length": {"model.ciet": "softmax", "model.ciet_qk_norm": True},
}

"""Does CIET see through occlusion? The rows of the paper's claim, on the small problem.

    python -m input_pipeline.prepare synthetic_occlusion --data_dir=data --train=20000
    python -m tools.ablate configs/studies/ciet.py --folder=runs/ciet

The estimand, named before the runs: `mpjpe_mm/occluded_minus_free/hidden_minus_visible`, what an occluder costs hidden
joints more than visible ones. CIET helps against occlusion if that is smaller with it than without, by more than the
interval, and in networks that see: it counts where visible joints are below 0.4 of the mean pose's error. Nothing of
this has been run at a length that decides it (docs/results.md).
"""

CONFIG = "configs/synthetic_tiny.py"
COMMON = {"data.name": "synthetic_occlusion", "data.eval_split": "val"}
SPLIT = "test"
SEEDS = (0, 1, 2, 3, 4)

REFERENCE = "off"
VARIANTS: dict[str, dict[str, str | float | bool]] = {
    "off": {"model.ciet": "off"},
    "dual": {"model.ciet": "dual"},
    "dual, one length": {"model.ciet": "dual", "model.ciet_qk_norm": True},
    "pointwise": {"model.ciet": "pointwise"},
    "softmax": {"model.ciet": "softmax"},
    "sigmoid": {"model.ciet": "sigmoid"},
    "dual on tokens": {"model.ciet": "dual", "model.ciet_on": "tokens"},
    "dual, identity": {"model.ciet": "dual", "loss.hand_identity": 1.0},
    "dual, identity, factored": {
        "model.ciet": "dual",
        "loss.hand_identity": 1.0,
        "model.token_classifier": "joint_and_hands",
    },
}

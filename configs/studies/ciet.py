"""Does CIET see through occlusion? The rows of the paper's claim, on the small problem.

    python -m input_pipeline.prepare synthetic_occlusion --data_dir=data --train=10000 --val=80 --test=960 \
        --image_size_px=96 --kinds one_hand hand_object
    python -m tools.ablate configs/studies/ciet.py --folder=runs/ciet

The estimand, named before the runs: `mpjpe_mm/occluded_minus_free/hidden_minus_visible`, what an occluder costs hidden
joints more than visible ones. CIET helps against occlusion if that is smaller with it than without, by more than the
interval, and in networks that see: it counts where visible joints are below 0.4 of the mean pose's error.

All variants start from one network that was trained without CIET, `eyes.safetensors` (docs/results.md says how). Its
backbone stays as it is but for the last stage; variants differ in CIET and in what the rest learns to make of it.
"""

CONFIG = "configs/synthetic_occlusion.py"
COMMON = {
    "data.eval_split": "val",
    "init_from": "configs/studies/eyes.safetensors",
    "model.batch_norm": "frozen",
    "model.frozen_stages": 4,
    "model.ciet_merge_init_std": 0.001,  # HandOccNet's: what CIET adds to the pyramid begins near nothing
    "total_steps": 400,
    "checkpoint_every_steps": 200,
    "optimizer.muon_rms": 1.0,
}
SPLIT = "test"
SEEDS = (0, 1, 2, 3, 4)

REFERENCE = "off"
VARIANTS: dict[str, dict[str, str | float | bool | tuple[str]]] = {
    "off": {},
    "dual": {"model.ciet": "dual"},
    "softmax": {"model.ciet": "softmax"},
    "pointwise": {"model.ciet": "pointwise"},
    "sigmoid": {"model.ciet": "sigmoid"},
    "dual, lengths free": {"model.ciet": "dual", "model.ciet_qk_norm": False},
    "dual on tokens": {"model.ciet": "dual", "model.ciet_on": "tokens"},
    "dual, identity": {"model.ciet": "dual", "loss.hand_identity": 1.0},
    "dual, identity, factored": {
        "model.ciet": "dual",
        "loss.hand_identity": 1.0,
        "model.token_classifier": "joint_and_hands",
        "init_may_differ": ("class_head",),
    },
}

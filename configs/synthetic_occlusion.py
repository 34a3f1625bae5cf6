"""The small problem of the ablation: one hand, an object before it or in it, seen from anywhere.

    python -m input_pipeline.prepare synthetic_occlusion --data_dir=data --train=10000 --val=80 --test=960 \
        --image_size_px=96 --kinds one_hand hand_object
    python train.py --config=configs/synthetic_occlusion.py --workdir=runs/eyes --config.data.data_dir=data \
        --config.init_from=runs/plus

These commands trained the network without CIET that every variant of `configs/studies/ciet.py` starts from; runs/plus
is 1,400 steps of `configs/synthetic_plus.py`. Seen: mpjpe_mm 44.0 on the test split, where the mean pose has 102.0.
"""

from ml_collections import ConfigDict

from configs import synthetic_plus


def get_config() -> ConfigDict:
    """Return the fast preset without CIET, on hands in every orientation."""
    config = synthetic_plus.get_config()
    config.total_steps = 1800
    config.teacher_forced_steps = 0
    config.teacher_fading_steps = 0
    config.checkpoint_every_steps = 100
    config.data.name = "synthetic_occlusion"
    config.data.box_scale = 1.25  # the box is that of what is seen: hidden joints lie outside it
    config.data.rotation_deg = 180.0
    config.data.rotation_probability = 0.9
    config.model.ciet = "off"
    config.optimizer.muon_rms = 1.5
    return config

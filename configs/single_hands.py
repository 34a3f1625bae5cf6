"""The small problem of the ablations: one hand in any orientation, half of them with an object, 96 px.

`ciet="off"` learns the maps that all variants share; configs/studies/gates.py goes on from them.

    python -m input_pipeline.prepare synthetic_occlusion --data_dir=data --kinds one_hand hand_object \
        --train=4000 --val=40 --test=480 --image_size_px=160
    python train.py --config=configs/single_hands.py --workdir=runs/single --config.data.data_dir=data
"""

from ml_collections import ConfigDict

from configs import synthetic_plus


def get_config() -> ConfigDict:
    """Return `synthetic_plus` on pictures of `synthetic_occlusion`, turned by any angle."""
    config = synthetic_plus.get_config()
    config.total_steps = 1200
    config.global_batch_size = 24
    config.checkpoint_every_steps = 200
    config.data.name = "synthetic_occlusion"
    config.data.box_scale = 1.15
    config.data.shift_share = 0.08
    config.data.scale_share = 0.15
    config.data.rotation_max_deg = 180.0
    config.data.rotation_probability = 0.8
    config.data.occluder_probability = 0.2
    config.model.ciet = "off"
    config.model.frozen_stages = 2
    return config

"""A training step of Keypoint Transformer's network: 2.5D, 6 + 6 layers, its small decoder, no object, batch 8."""

from benchmarks.networks import paper_experiment
from benchmarks.results import Measurement
from benchmarks.train_step import BATCH_SIZE, measure_step

KYPT_MODEL = {
    **{"neck": "unet", "ciet": "off", "with_object": False, "left_object_translation": False},
    **{"representation": "2.5d", "encoder_layers": 6, "decoder_layers": 6, "max_joint_keypoints": 100},
    **{"input_normalisation": "unit", "visibility_head": False},
}


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds a step."""
    return measure_step(paper_experiment(BATCH_SIZE, **KYPT_MODEL), runs, with_memory=False)

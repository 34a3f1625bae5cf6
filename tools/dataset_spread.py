"""Says how an embedded dataset's hands are spread: `python -m tools.dataset_spread [DATASET] [--count=N]`.

Of the first N training examples it prints the share without a hand, and of single hands how many stand upright (the
fingers within 28 degrees of the picture's up), are cut by the border, how large they are and how many joints are seen.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from input_pipeline.schema import Example
from input_pipeline.synthetic.photos import SyntheticPhotos
from input_pipeline.synthetic.source import SyntheticHands
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.skeleton import VISIBILITY

SOURCES = {kind.name: kind for kind in (SyntheticHands, SyntheticPhotos)}
UPRIGHT_DEG = 28.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", choices=SOURCES, default=SyntheticPhotos.name)
    parser.add_argument("--count", type=int, default=480)
    options = parser.parse_args(arguments)
    source = SOURCES[options.dataset]()
    for name, value in spread([source.example("train", index) for index in range(options.count)]).items():
        print(f"{name}: {value:.3g}")


def spread(examples: Sequence[Example]) -> dict[str, float]:
    """Return the numbers; at least one example must show one hand alone."""
    alone = [example for example in examples if example["hand_present"].sum() == 1 and not example["object_known"]]
    sizes = [np.ptp(_joints_px(example), axis=0).max() / example["width"] for example in alone]
    low, middle, high = np.quantile(sizes, [0.05, 0.5, 0.95])
    return {
        "share without a hand": float(np.mean([not example["hand_present"].any() for example in examples])),
        "single hands": len(alone),
        "share upright": float(np.mean([_degrees_from_upright(example) < UPRIGHT_DEG for example in alone])),
        "share cut by the border": float(np.mean([_is_cut(example) for example in alone])),
        "joints' extent over the picture's side, 5 %": float(low),
        "joints' extent over the picture's side, median": float(middle),
        "joints' extent over the picture's side, 95 %": float(high),
        "visible joints of 21": float(np.mean([_visible(example) for example in alone])),
    }


def _hand(example: Example) -> int:
    return int(example["hand_present"].argmax())


def _joints_px(example: Example) -> np.ndarray:
    return project(example["joints_cam_m"][_hand(example)].astype(np.float64), example["intrinsics"].astype(np.float64))


def _degrees_from_upright(example: Example) -> float:
    fingers = axis_angle_to_matrix(example["hand_pose"][_hand(example), :3].astype(np.float64))[:, 1]
    return float(np.degrees(np.arccos(np.clip(-fingers[1], -1, 1))))


def _is_cut(example: Example) -> bool:
    return bool((example["joints_in_image"][_hand(example)] == 0).any())


def _visible(example: Example) -> int:
    return int((example["visibility"][_hand(example)] == VISIBILITY.index("visible")).sum())


if __name__ == "__main__":
    main()

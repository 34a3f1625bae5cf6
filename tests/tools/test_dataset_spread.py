import numpy as np

from input_pipeline.schema import empty_example
from occrobnet_jax.skeleton import LEFT, VISIBILITY
from tools.dataset_spread import spread


def _example(turn=(np.pi, 0, 0), shift_m=0.0):
    """Return a left hand whose joints span 0.1 m at 1 m, in a picture of 200 px that spans 0.4 m there."""
    example = empty_example()
    example["width"] = example["height"] = np.int32(200)
    example["intrinsics"] = np.array([[500, 0, 99.5], [0, 500, 99.5], [0, 0, 1]], np.float32)
    example["hand_present"][LEFT] = example["joints_annotated"][LEFT] = 1
    example["joints_cam_m"][LEFT] = np.linspace([shift_m, 0, 1], [shift_m + 0.1, 0.05, 1], 21)
    example["hand_pose"][LEFT, :3] = turn
    example["joints_in_image"][LEFT] = shift_m == 0
    example["visibility"][LEFT, :7] = VISIBILITY.index("visible")
    return example


def test_spread_counts_what_it_says():
    found = spread([_example(), _example((0, 0, 0)), _example((np.pi - 0.3, 0, 0), 0.2), empty_example()])
    assert found["share without a hand"] == 0.25
    assert found["single hands"] == 3
    np.testing.assert_allclose(found["share upright"], 2 / 3)
    np.testing.assert_allclose(found["share cut by the border"], 1 / 3)
    np.testing.assert_allclose(found["joints' extent over the picture's side, median"], 0.25)
    assert found["visible joints of 21"] == 7

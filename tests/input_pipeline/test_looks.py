"""How training examples are made to look: each part alone, what hides joints, and that nothing is done unasked."""

import dataclasses
import math

import cv2
import numpy as np
import pytest

from input_pipeline.augment import NONE, Augmentation, draw
from input_pipeline.config import DataConfig
from input_pipeline.looks import PLAIN, Look, Occluder, develop, draw_look, occlude
from input_pipeline.transforms import augment_example
from occrobnet_jax.skeleton import VISIBILITY
from tests.support.fake_datasets import fake_example

SIZE = 64
ALL = DataConfig(
    **{"contrast_share": 0.4, "brightness_share": 0.2, "gamma_share": 0.3, "grey_probability": 0.2},
    **{"blur_probability": 0.3, "noise_probability": 0.4, "jpeg_probability": 0.5, "occluder_probability": 0.6},
)
PROBABILITIES = {"is_gray": 0.2, "blur_px": 0.3, "noise": 0.4, "jpeg_quality": 0.5, "occluders": 0.6}
IN_THE_MIDDLE = Occluder((0.5, 0.5), (0.25, 0.25), 0.0, False, (10.0, 20.0, 30.0), 0.0, (0, 0))


def picture() -> np.ndarray:
    ramp = np.linspace(40, 200, SIZE).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), -1).copy()


def developed(**changes) -> np.ndarray:
    image = picture()
    develop(image, dataclasses.replace(PLAIN, **changes))
    return image


def test_draws_have_their_probabilities_and_ranges():
    rng = np.random.default_rng(0)
    looks = [draw_look(rng, ALL) for _ in range(2000)]
    shares = [np.mean([bool(getattr(look, name)) for look in looks]) for name in PROBABILITIES]
    np.testing.assert_allclose(shares, list(PROBABILITIES.values()), atol=0.04)
    contrasts, gammas = (np.array([getattr(look, name) for look in looks]) for name in ("contrast", "gamma"))
    assert (contrasts.min(), contrasts.max()) == pytest.approx((0.6, 1.4), abs=0.01)
    assert (gammas.min(), gammas.max()) == pytest.approx((math.exp(-0.3), math.exp(0.3)), abs=0.01)
    assert {len(look.occluders) for look in looks} == {0, 1, 2, 3}


def test_nothing_is_drawn_unasked_and_the_rest_is_drawn_as_without():
    assert draw_look(np.random.default_rng(0), DataConfig()) == PLAIN
    for seed in range(10):
        plain, strong = (draw(np.random.default_rng(seed), data) for data in (DataConfig(), ALL))
        assert dataclasses.replace(strong, look=PLAIN) == plain
    np.testing.assert_array_equal(developed(), picture())


def test_free_rotation_is_uniform_over_the_circle():
    data = DataConfig(rotation_max_deg=180.0, rotation_probability=1.0)
    rng = np.random.default_rng(0)
    turns = np.array([draw(rng, data).rotation_rad for _ in range(2000)]) / math.pi
    np.testing.assert_allclose(np.quantile(turns, [0.1, 0.25, 0.5, 0.75, 0.9]), [-0.8, -0.5, 0.0, 0.5, 0.8], atol=0.06)


def test_light_is_a_curve_of_the_values():
    image = picture().astype(np.float64) / 255
    np.testing.assert_allclose(developed(contrast=0.5, brightness=0.1), 255 * (0.5 * image + 0.35), atol=0.51)
    np.testing.assert_allclose(developed(gamma=2.0), 255 * image**2, atol=0.51)
    assert developed(brightness=0.9).max() == 255


def test_gray_blur_noise_and_jpeg_do_what_they_say():
    gray = developed(is_gray=True)
    assert (gray == gray[..., :1]).all()
    np.testing.assert_array_equal(gray[..., 0], cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY))
    dot = np.zeros((SIZE, SIZE, 3), np.uint8)
    dot[32, 32] = 255
    develop(dot, Look(blur_px=1.0))
    assert dot[32, 32, 0] == pytest.approx(255 / (2 * math.pi), rel=0.1)
    noise = developed(noise=8.0, noise_at=(3, 5)).astype(np.float64) - picture()
    assert noise.std() == pytest.approx(8.0, rel=0.05)
    assert (developed(noise=8.0, noise_at=(4, 5)) != developed(noise=8.0, noise_at=(3, 5))).any()
    worst, best = (np.abs(developed(jpeg_quality=q).astype(int) - picture()).mean() for q in (10, 90))
    assert 0 < best < worst < 12


def test_an_occluder_covers_its_shape():
    image = picture()
    covered = occlude(image, Look(occluders=(dataclasses.replace(IN_THE_MIDDLE, is_ellipse=True),)))
    assert (image[covered] == (10, 20, 30)).all()
    np.testing.assert_array_equal(image[~covered], picture()[~covered])
    assert covered.mean() == pytest.approx(math.pi * 0.25**2, rel=0.1)
    assert covered[32, 32]


def test_joints_behind_an_occluder_are_hidden_by_an_object():
    example, data = fake_example(2), DataConfig(input_size_px=64)
    large = Look(occluders=(dataclasses.replace(IN_THE_MIDDLE, half_axes=(0.5, 0.2)),))
    before = augment_example(example, data, 2, NONE)
    after = augment_example(example, data, 2, Augmentation(look=large))
    y = before["joints_px"][..., 1]
    clearly_in, clearly_out = np.abs(y - 32) < 11, np.abs(y - 32) > 15
    seen = before["visibility"] == VISIBILITY.index("visible")
    assert (seen & clearly_in).any()
    assert (seen & clearly_out).any()
    assert (after["visibility"][seen & clearly_in] == VISIBILITY.index("object")).all()
    np.testing.assert_array_equal(after["visibility"][clearly_out], before["visibility"][clearly_out])
    assert not after["segmentation"][12:20].any()
    for name in ("joints_px", "joint_annotated", "joint_in_crop"):
        np.testing.assert_array_equal(after[name], before[name])
    unknown = example | {"visibility": np.zeros((2, 21), np.uint8)}
    assert not (augment_example(unknown, data, 2, Augmentation(look=large))["visibility"] == 4).any()

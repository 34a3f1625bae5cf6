import numpy as np
import pytest

from occrobnet_jax.evaluation.metrics.measures import Tally, per_joint
from occrobnet_jax.evaluation.metrics.paired import differences

SEQUENCES = np.repeat([b"s%02d" % number for number in range(20)], 10)
VALID = np.ones((200, 3), bool)


def tally_of(errors: np.ndarray, sequences: np.ndarray = SEQUENCES) -> Tally:
    tally = Tally()
    tally.add([("mpjpe_mm", per_joint(errors, VALID))], sequences)
    return tally


def hard_and_easy(rng: np.random.Generator) -> np.ndarray:
    """Errors of which most is the sequence's."""
    return np.repeat(rng.gamma(2.0, 10.0, 20), 10)[:, None] + rng.normal(0, 1, (200, 3))


def test_what_both_find_hard_falls_out() -> None:
    """Half a millimetre is told between networks whose own intervals are several millimetres wide."""
    rng = np.random.default_rng(0)
    errors = hard_and_easy(rng)
    first, second = tally_of(errors), tally_of(errors - 0.5 + rng.normal(0, 0.5, errors.shape))
    alone = first.scores()["mpjpe_mm"]
    assert alone.high - alone.low > 5  # type: ignore[operator]
    found = differences([(first, second)])["mpjpe_mm"]
    assert found.value == pytest.approx(second.scores()["mpjpe_mm"].value - alone.value)
    assert found.low < found.value < found.high < 0  # type: ignore[operator]
    assert found.high - found.low < 0.5  # type: ignore[operator]
    assert found.in_words == "beyond the noise; of that sign in 20 of 20 sequences"
    back = differences([(second, first)])["mpjpe_mm"]
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_chance_is_called_noise() -> None:
    rng = np.random.default_rng(1)
    errors = hard_and_easy(rng)
    outside = 0
    for _ in range(100):
        pair = (tally_of(errors), tally_of(errors + np.repeat(rng.normal(0, 2, 20), 10)[:, None]))
        outside += differences([pair])["mpjpe_mm"].in_words.startswith("beyond")
    assert outside < 20  # 5 expected, some more since a bootstrap of 20 sequences is a little narrow


def test_the_noise_between_trainings_widens_the_interval() -> None:
    rng = np.random.default_rng(2)
    errors = hard_and_easy(rng)
    pairs = [(tally_of(errors), tally_of(errors + shift)) for shift in (-3.0, 0.5, 2.0)]
    for pair, shift in zip(pairs, (-3.0, 0.5, 2.0), strict=True):
        alone = differences([pair])["mpjpe_mm"]
        assert (alone.value, alone.low, alone.high) == pytest.approx((shift, shift, shift))
    found = differences(pairs)["mpjpe_mm"]
    assert found.by_pair == pytest.approx((-3.0, 0.5, 2.0))
    assert found.value == pytest.approx(-0.5 / 3)
    assert found.low == pytest.approx(-3.0, abs=1.5)
    assert found.in_words.startswith("within the noise")


def test_other_sequences_are_not_paired() -> None:
    errors = hard_and_easy(np.random.default_rng(3))
    with pytest.raises(ValueError, match="other sequences"):
        differences([(tally_of(errors), tally_of(errors, np.full(200, b"s00")))])
    one = tally_of(errors, np.full(200, b"s00"))
    assert differences([(one, one)])["mpjpe_mm"].in_words == "one sequence: no interval"

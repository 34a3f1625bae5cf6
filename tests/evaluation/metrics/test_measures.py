import numpy as np
import pytest

from occrobnet_jax.evaluation.metrics.measures import Measure, auc, per_joint, pooled, score, within

CASES = 1000


def test_means_agree_with_loops() -> None:
    rng = np.random.default_rng(0)
    for _ in range(CASES):
        values, valid = rng.gamma(2.0, 10.0, (5, 6)), rng.random((5, 6)) < 0.6
        columns = [[values[i, j] for i in range(5) if valid[i, j]] for j in range(6)]
        means = [sum(column) / len(column) for column in columns if column]
        everything = [value for column in columns for value in column]
        averaged, plain = score(per_joint(values, valid)), score(pooled(values, valid))
        if not means:
            assert averaged is None
            assert plain is None
            continue
        assert averaged is not None
        assert plain is not None
        assert averaged.value == pytest.approx(sum(means) / len(means), abs=1e-9)
        assert plain.value == pytest.approx(sum(everything) / len(everything), abs=1e-9)
        assert averaged.num_values == plain.num_values == len(everything)


def test_area_agrees_with_the_curve_of_the_official_script() -> None:
    """PCK at 100 thresholds of 0 to 50 mm, the trapezoid, divided by that of a curve of ones; over a thousand sets."""
    rng = np.random.default_rng(1)
    thresholds = np.linspace(0, 50, 100)
    for _ in range(CASES):
        errors = rng.gamma(2.0, 12.0, 7)
        errors[0] = rng.choice([0.0, 50.0, 50.0001, thresholds[rng.integers(100)]])
        curve = np.array([np.mean([error <= threshold for error in errors]) for threshold in thresholds])
        area = sum((curve[k] + curve[k + 1]) / 2 * (thresholds[k + 1] - thresholds[k]) for k in range(99)) / 50
        assert auc(errors).mean() == pytest.approx(area, abs=1e-9)


def test_pck_by_hand() -> None:
    np.testing.assert_array_equal(within(np.array([0.0, 20.0, 20.001]), 20.0), [1, 1, 0])


def test_intervals_draw_sequences_not_examples() -> None:
    """Repeating every example within its sequence adds nothing that is known, and the interval stays as it is."""
    rng = np.random.default_rng(2)
    values, sequences = rng.gamma(2.0, 10.0, (40, 1)), np.repeat(np.arange(8), 5)
    valid = np.ones((40, 1), bool)
    once = score(per_joint(values, valid), sequences)
    often = score(per_joint(np.repeat(values, 9, axis=0), np.repeat(valid, 9, axis=0)), np.repeat(sequences, 9))
    assert once is not None
    assert often is not None
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    as_if_independent = score(per_joint(values, valid), np.arange(40))
    assert as_if_independent is not None
    assert once.low < once.value < once.high  # type: ignore[operator]


def test_intervals_agree_with_drawing_one_by_one() -> None:
    rng = np.random.default_rng(3)
    values, valid = rng.gamma(2.0, 10.0, (30, 3)), rng.random((30, 3)) < 0.8
    sequences = rng.integers(0, 10, 30)
    found = score(per_joint(values, valid), sequences)
    assert found is not None
    drawn = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(sequences == each) for each in rng.choice(np.unique(sequences), 10)])
        cells = [values[rows, j][valid[rows, j]] for j in range(3)]
        drawn.append(np.mean([cell.mean() for cell in cells if cell.size]))
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.6)


def test_intervals_depend_on_the_seed_and_on_nothing_else() -> None:
    rng = np.random.default_rng(4)
    values, sequences = rng.random((20, 2)), np.array([b"%d" % (i % 13) for i in range(20)])
    valid = np.ones((20, 2), bool)
    first, again = (score(per_joint(values, valid), sequences, seed=1) for _ in range(2))
    other = score(per_joint(values, valid), sequences, seed=2)
    assert first == again
    assert first != other
    order = rng.permutation(20)
    shuffled = score(per_joint(values[order], valid[order]), sequences[order], seed=1)
    assert first is not None
    assert shuffled is not None
    assert tuple(shuffled) == pytest.approx(tuple(first))


def test_without_several_sequences_there_is_no_interval() -> None:
    measure = per_joint(np.ones((4, 1)), np.ones((4, 1), bool))
    for sequences in (None, np.zeros(4, int)):
        found = score(measure, sequences)
        assert found is not None
        assert (found.value, found.low, found.high) == (1.0, None, None)
    assert score(Measure(np.zeros((4, 1)), np.zeros((4, 1)))) is None

import numpy as np

from input_pipeline.synthetic.damage import _coarser, _moved, damaged, jpeg_quality

SIZE_PX = 64


def _picture():
    """Return a bright dot on grey."""
    picture = np.full((SIZE_PX, SIZE_PX, 3), 60, np.uint8)
    picture[30:34, 30:34] = [220, 180, 140]
    return picture


def test_motion_smears_along_its_direction_and_moves_nothing():
    moved = _moved(_picture(), 12.0, 0.0).astype(float).sum(-1) - 180
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    center = [(moved * at).sum() / moved.sum() for at in (rows, columns)]
    np.testing.assert_allclose(center, 31.5, atol=0.1)
    assert (moved.max(1) > 5).sum() <= 6
    assert (moved.max(0) > 5).sum() >= 12


def test_lost_resolution_keeps_places():
    coarse = _coarser(_picture(), 0.5).astype(float).sum(-1) - 180
    columns = np.arange(SIZE_PX)
    np.testing.assert_allclose((coarse.sum(0) * columns).sum() / coarse.sum(), 31.5, atol=0.1)


def _extent_px(picture):
    """Return height and width of the dot."""
    levels = picture.astype(int).sum(-1)
    bright = levels > (levels.max() + np.median(levels)) / 2
    return bright.any(1).sum(), bright.any(0).sum()


def test_every_damage_occurs_and_none_is_in_all():
    plain = _picture()
    pictures = [damaged(plain, np.random.default_rng(seed)) for seed in range(150)]
    gray = np.mean([(np.ptp(picture.astype(int), axis=-1) == 0).all() for picture in pictures])
    grainy = np.mean([picture[:20, :20].std(axis=(0, 1)).max() > 1.5 for picture in pictures])
    stretched = np.mean([abs(np.subtract(*_extent_px(picture))) > 0 for picture in pictures])
    assert 0.02 < gray < 0.15
    assert 0.03 < grainy < 0.2
    assert 0 < stretched < 0.3
    assert {picture.shape for picture in pictures} == {plain.shape}
    np.testing.assert_array_equal(plain, _picture())


def test_files_of_all_qualities():
    drawn = [jpeg_quality(np.random.default_rng(seed)) for seed in range(300)]
    assert min(drawn) < 35
    assert 90 < max(drawn) <= 95
    assert min(drawn) >= 30

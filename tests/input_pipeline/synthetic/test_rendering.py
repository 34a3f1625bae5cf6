import dataclasses

import numpy as np
import pytest

from input_pipeline.synthetic import raycast
from input_pipeline.synthetic.look import sample_look
from input_pipeline.synthetic.objects import make_solid
from input_pipeline.synthetic.rendering import draw
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.shading import _printed
from input_pipeline.synthetic.skin import make_subject
from input_pipeline.synthetic.stage import build_stage

SIZE_PX = 128
INTRINSICS = np.array([[300.0, 0, 60.3], [0, 320.0, 66.1], [0, 0, 1]])


def _picture(at_m, **changes):
    rng = np.random.default_rng(0)
    ball = make_solid("sphere", np.random.default_rng(2))
    scene = Scene((), ball, np.eye(3), np.array(at_m), INTRINSICS)
    look = dataclasses.replace(sample_look(SIZE_PX, np.random.default_rng(1), rng), **changes)
    return draw(scene, build_stage(scene, make_subject(rng)), look, SIZE_PX, rng)


@pytest.mark.parametrize("at_m", [[0.0, 0, 0.8], [0.05, -0.04, 1.0], [-0.06, 0.05, 0.9]])
def test_marks_are_drawn_where_the_labels_project_to(at_m):
    _, segmentation = _picture(at_m)
    center = np.argwhere(segmentation == 3)[:, ::-1].mean(0)
    projected = INTRINSICS @ at_m
    np.testing.assert_allclose(center, projected[:2] / projected[2], atol=0.3)


def test_edges_are_antialiased_and_the_inside_is_not_touched():
    plain = {"noise": 0.0, "blur_px": 0.0, "print_": np.ones((8, 8, 3), np.float32)}
    plain |= {"backdrop": np.zeros((SIZE_PX, SIZE_PX, 3), np.float32), "sky": np.full(3, 0.9, np.float32)}
    image, segmentation = _picture([0, 0, 0.8], **plain)
    row = int(np.argwhere(segmentation == 3)[:, 0].mean())
    brightness = image[row].mean(-1)
    columns = np.flatnonzero(segmentation[row] == 3)
    before, first = brightness[columns[0] - 1], brightness[columns[0] + 2]
    levels = [brightness[columns[0]], brightness[columns[-1]], before, brightness[columns[-1] + 1]]
    assert brightness[columns[0] - 3] < 5
    assert any(5 < level < 0.9 * first for level in levels)


def test_prints_cover_more_points_than_opencv_takes_at_once():
    rng = np.random.default_rng(0)
    scene = Scene((), make_solid("sphere", rng), np.eye(3), np.array([0, 0, 0.8]), INTRINSICS)
    stage, look = build_stage(scene, make_subject(rng)), sample_look(SIZE_PX, rng, rng)
    points = rng.uniform(-0.03, 0.03, (40_000, 3))
    parts = [_printed(part, stage, look) for part in np.split(points, 8)]
    np.testing.assert_array_equal(_printed(points, stage, look), np.concatenate(parts))
    assert parts[0].std() > 0.01


def test_a_machine_without_the_ray_caster_is_told_so(monkeypatch):
    monkeypatch.setattr(raycast, "EmbreeScene", None)
    with pytest.raises(ValueError, match=r"embreex.*x86-64"):
        raycast.RayCaster(np.zeros((3, 3)), np.array([[0, 1, 2]]))


def test_rays_find_the_nearest_triangle_and_shadows_respect_their_reach():
    near = np.array([[-1.0, -1, 1], [1, -1, 1], [0, 2, 1]])
    caster = raycast.RayCaster(np.concatenate([near, near * 3]), np.array([[0, 1, 2], [3, 4, 5]]))
    hits = caster.nearest(np.zeros((2, 3)), np.array([[0, 0, 1.0], [0, 0, -1.0]]))
    assert hits.triangle.tolist() == [0, -1]
    np.testing.assert_allclose(hits.distance_m[0], 1, atol=1e-6)
    np.testing.assert_allclose(hits.barycentric[0] @ near, [0, 0, 1], atol=1e-6)
    start, up = np.array([[0, 0, 1.0]]), np.array([[0, 0, 1.0]])
    assert caster.blocked(start, up, up).tolist() == [True]
    assert caster.blocked(start, up, up, reach_m=1.0).tolist() == [False]

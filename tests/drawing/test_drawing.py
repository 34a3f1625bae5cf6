import json
from unittest.mock import Mock

import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.drawing.colors import OUTLINE, joint_color
from occrobnet_jax.drawing.curves import Panel, curves_svg
from occrobnet_jax.drawing.figures import placed_joints_m, predicted_figure, predicted_hands, reference_hand
from occrobnet_jax.drawing.overlay import (
    BOX_EDGES,
    Figure,
    class_color,
    draw_figure,
    draw_keypoints,
    draw_rectangle,
    encode_jpeg,
)
from occrobnet_jax.drawing.scene import scene_group, scene_json
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.models.decode import _decode_object
from occrobnet_jax.skeleton import BONES, INTERHAND, LEFT, NUM_JOINTS, RIGHT, WRIST
from occrobnet_jax.types import Predictions

GRAY = np.full((60, 80, 3), 128, np.uint8)


def spread_joints() -> np.ndarray:
    """Both hands, every joint on its own place of the 80 x 60 picture."""
    x, y = np.meshgrid(np.arange(7) * 11 + 6.0, np.arange(6) * 10 + 5.0)
    return np.stack([x, y], axis=-1).reshape(2, NUM_JOINTS, 2)


def test_encoded_pictures_have_the_colors_of_the_picture() -> None:
    picture = np.zeros((40, 60, 3), np.uint8) + np.array([200, 90, 20], np.uint8)
    picture[10:20, 30:] = (10, 60, 220)
    seen = decode_image(encode_jpeg(picture, 95), name="a").astype(int)
    assert np.abs(seen - picture).mean() < 1  # swapped colors differ by a hundred


def test_encoded_pictures_keep_the_color_of_a_thin_line() -> None:
    picture = np.full((40, 60, 3), 128, np.uint8)
    picture[21] = (255, 0, 0)
    seen = decode_image(encode_jpeg(picture, 95), name="a").astype(int)
    assert np.abs(seen[21] - picture[21]).max() < 40  # with colors at half the resolution 100


def test_a_picture_wider_than_jpeg_can_hold_is_told() -> None:
    with pytest.raises(ValueError, match=r"65,501 x 1 px are more than JPEG's 65,500 a side; make it smaller"):
        encode_jpeg(np.zeros((1, 65_501, 3), np.uint8))


def test_joints_are_drawn_where_they_are_in_their_color() -> None:
    """Also in an enlarged picture, whose pixel centres lie elsewhere."""
    joints = spread_joints()
    shown = np.zeros((2, NUM_JOINTS), bool)
    tip = INTERHAND.index("ring4")
    shown[:, tip] = True
    for factor in (1, 4):
        drawn = draw_figure(GRAY, Figure(joints, shown, np.zeros_like(shown)), factor)
        assert drawn.shape == (60 * factor, 80 * factor, 3)
        for hand in (RIGHT, LEFT):
            x, y = np.round((joints[hand, tip] + 0.5) * factor - 0.5).astype(int)
            np.testing.assert_array_equal(drawn[y, x], joint_color(hand, tip))
        changed = np.argwhere((drawn != GRAY[0, 0]).any(-1))[:, ::-1]
        near_right = changed[:, 1] < drawn.shape[0] / 2  # the right hand is above, the left below
        centers = [changed[near_right].mean(0), changed[~near_right].mean(0)]
        np.testing.assert_allclose(centers, (joints[:, tip] + 0.5) * factor - 0.5, atol=0.2)
        assert np.ptp(changed[near_right], axis=0).max() < 14  # nothing else was drawn


def test_hidden_joints_are_hollow() -> None:
    joints, shown = spread_joints(), np.ones((2, NUM_JOINTS), bool)
    tip = INTERHAND.index("index4")
    x, y = joints[RIGHT, tip].astype(int)
    for hidden, color in ((shown, OUTLINE), (~shown, joint_color(RIGHT, tip))):
        np.testing.assert_array_equal(draw_figure(GRAY, Figure(joints, shown, hidden))[y, x], color)


def test_hands_and_fingers_have_their_own_colors() -> None:
    tips = [INTERHAND.index(f"{finger}4") for finger in ("thumb", "index", "middle", "ring", "pinky")]
    colors = {joint_color(hand, tip) for hand in (RIGHT, LEFT) for tip in tips}
    assert len(colors) == 10
    assert class_color(1 + NUM_JOINTS + tips[2]) == joint_color(LEFT, tips[2])
    assert class_color(1 + tips[2]) == joint_color(RIGHT, tips[2])


def test_far_away_points_do_no_harm() -> None:
    joints, shown = spread_joints(), np.ones((2, NUM_JOINTS), bool)
    joints[RIGHT, 3:6] = 1e9, -1e9
    draw_figure(GRAY, Figure(joints, shown, ~shown, np.full((8, 2), 1e7)))
    draw_keypoints(GRAY, np.array([[1e8, 5.0]]), np.array([0]))


def test_box_edges_join_corners_that_differ_in_one_axis() -> None:
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
    assert len(set(BOX_EDGES)) == 12
    assert all(np.abs(corners[a] - corners[b]).sum() == 1 for a, b in BOX_EDGES)


def test_the_likely_hands_are_drawn_or_the_likelier_one() -> None:
    assert predicted_hands(np.array([0.9, 0.7])).tolist() == [True, True]
    assert predicted_hands(np.array([0.2, 0.4])).tolist() == [False, True]
    figure = predicted_figure(spread_joints(), np.array([0.9, 0.1]), np.full((2, NUM_JOINTS), np.nan))
    assert figure.shown.all(axis=1).tolist() == [True, False]
    assert not figure.hidden.any()


@pytest.mark.parametrize("right", [0.1, 0.4, 0.5, 0.6])
@pytest.mark.parametrize("left", [0.1, 0.4, 0.5, 0.6])
def test_an_object_is_decoded_and_drawn_from_the_same_hand_which_is_drawn(right: float, left: float) -> None:
    probability = np.array([right, left])
    reference = reference_hand(probability)
    assert predicted_hands(probability)[reference]
    assert reference == reference_hand(predicted_hands(probability))
    assert (reference == RIGHT) == (right > 0.5 or right >= left)
    seen = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # an object's translation from either wrist
    fields = {"object_rotation_6d": jnp.ones((1, 1, 6)), "object_translation_m": jnp.array(seen)[None, None]}
    predictions = Mock(spec=Predictions, **fields)
    _, translation = _decode_object(predictions, jnp.array(probability)[None])
    np.testing.assert_array_equal(translation[0], seen[reference])


@pytest.mark.parametrize(
    ("present", "reference"), [((True, True), RIGHT), ((True, False), RIGHT), ((False, True), LEFT)]
)
def test_hands_are_placed_relative_to_each_other(present: tuple[bool, bool], reference: int) -> None:
    joints = np.random.default_rng(0).normal(size=(2, NUM_JOINTS, 3))
    joints -= joints[:, WRIST:]
    placed = placed_joints_m(joints, np.array([0.1, 0.2, 0.3]), np.array(present))
    np.testing.assert_allclose(placed[LEFT, WRIST] - placed[RIGHT, WRIST], (0.1, 0.2, 0.3))
    np.testing.assert_array_equal(placed[reference, WRIST], 0)


def test_scene_holds_bones_in_millimeters() -> None:
    joints = np.zeros((2, NUM_JOINTS, 3))
    joints[LEFT, INTERHAND.index("thumb1")] = (0.01, 0.02, 0.03)
    shown = np.repeat([[False], [True]], NUM_JOINTS, axis=1)
    group = scene_group("</script>", joints, shown, dashed=True)
    text = scene_json([group])
    assert "<" not in text
    (restored,) = json.loads(text)["groups"]
    assert restored["name"] == "</script>"
    assert len(restored["lines"]) == 20
    color = "#" + bytes(joint_color(LEFT, INTERHAND.index("thumb1"))).hex()
    assert [0, 0, 0, 10, 20, 30, color] in restored["lines"]


def test_curves_show_what_the_history_has() -> None:
    history = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0, "val/x": 1.0}, {"step": 3, "loss": None}]
    panels = (Panel("loss", ("loss",)), Panel("x", ("val/x",)), Panel("missing", ("nothing",)))
    svg = curves_svg(history, panels)
    assert svg.startswith("<svg")
    assert ">loss<" in svg
    assert ">missing<" not in svg
    assert ">val/x<" not in svg  # a single point is no curve
    assert curves_svg(history[:1], panels) == ""


def test_the_bone_to_a_hidden_joint_is_dashed_and_the_one_from_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[tuple, bool] = {}

    def note(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, color: tuple, width: int, *, dashed: bool) -> None:
        if color != OUTLINE:
            drawn[tuple(start), tuple(end)] = dashed

    monkeypatch.setattr("occrobnet_jax.drawing.overlay._draw_line", note)
    joints, hidden = spread_joints(), np.zeros((2, NUM_JOINTS), bool)
    middle = INTERHAND.index("index2")
    hidden[RIGHT, middle] = True
    draw_figure(GRAY, Figure(joints, ~np.zeros((2, NUM_JOINTS), bool), hidden))
    dashed = [ends for ends, is_dashed in drawn.items() if is_dashed]
    assert len(dashed) == 1
    assert len(drawn) == 2 * len(BONES)
    on_canvas = [tuple(np.round(point, 3)) for point in dashed[0]]
    factor = np.divide(on_canvas[1][0] + 0.5, joints[RIGHT, middle, 0] + 0.5)
    np.testing.assert_allclose(np.divide(on_canvas[1], 1) + 0.5, (joints[RIGHT, middle] + 0.5) * factor, atol=0.01)


@pytest.mark.parametrize(
    ("box_px", "rows"), [((-1e9, 20, 1e9, 1e9), [19, 20, 21]), ((-1e9, -1e9, 1e9, 1e9), []), ((5, -1e9, 1e9, -70), [])]
)
def test_a_box_of_any_size_is_drawn_at_once_and_only_where_it_is(box_px: tuple, rows: list[int]) -> None:
    drawn = draw_rectangle(np.zeros((64, 96, 3), np.uint8), np.array(box_px))
    assert np.flatnonzero(drawn.any((1, 2))).tolist() == rows


def test_a_box_half_in_view_is_dashed_all_along_its_edge() -> None:
    edge = draw_rectangle(np.zeros((64, 96, 3), np.uint8), np.array([-5e5, 30, 5e5, 300]))[30].max(-1)
    for part in (edge[:32], edge[32:64], edge[64:]):
        assert part.max() > 200
        assert part.min() < 60

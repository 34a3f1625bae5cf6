import numpy as np

from input_pipeline.synthetic.appearance import LINEAR, atlas_places_px, panorama, panorama_view, skin_atlas, skin_names
from input_pipeline.synthetic.photo_look import atlas_colors
from occrobnet_jax.hands.embedded_hand import FOREARM_BONE, load_hand


def test_colors_are_those_of_the_atlas_between_its_pixels():
    atlas = np.zeros((6, 9, 3), np.uint8)
    atlas[2, 3], atlas[2, 4], atlas[3, 3] = (200, 100, 0), (100, 200, 0), (0, 0, 240)
    columns, rows = np.array([3, 3.5, 3, 4]), np.array([2, 2, 2.5, 2.0])
    expected = LINEAR[[[200, 100, 0], [150, 150, 0], [100, 50, 120], [100, 200, 0]]]
    np.testing.assert_allclose(atlas_colors(atlas, columns, rows), expected.T, atol=0.01)
    many = np.tile(columns, 10_000)
    assert atlas_colors(atlas, many, np.tile(rows, 10_000)).shape == (3, len(many))
    assert atlas_colors(atlas, columns[:0], rows[:0]).shape == (3, 0)


def test_every_vertex_has_a_place_on_painted_skin():
    """Palms are paler than backs, nails and all, in dark skins most: the places would not say so if they were off."""
    places, hand = atlas_places_px(), load_hand()
    assert len(places) == len(hand.models[0].skin.rest_m)
    of_arm = hand.models[0].skin.weights[:, FOREARM_BONE]
    assert places[of_arm == 1, 0].min() > places[of_arm < 0.3, 0].max() + 10  # the forearm is right of the hand
    for name in skin_names():
        colors = atlas_colors(skin_atlas(name), *places.T)
        assert colors.mean(0).min() > 0.005
        if "dark" in name:
            middle = np.abs(hand.models[0].skin.rest_m - [0, 0.06, 0]).max(1) < 0.03
            z = hand.models[0].skin.rest_m[:, 2]
            palm, back = middle & (z > 0.008), middle & (z < -0.008)
            assert colors[:, palm].mean() > 1.5 * colors[:, back].mean()


def test_skins_cover_light_and_dark():
    places = atlas_places_px()
    means = [float(atlas_colors(skin_atlas(name), *places.T).mean()) for name in skin_names()]
    assert len(means) == 11
    assert max(means) > 3 * min(means)


def test_a_view_shows_what_lies_in_its_direction():
    name, size = "vestibule", 33
    height, width = panorama(name).shape[:2]
    for yaw in (0.0, np.pi / 2, -np.pi / 2):
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        seen = panorama_view(name, turn, 60.0, size)[size // 2, size // 2]
        column = round((yaw / (2 * np.pi) + 0.5) * width - 0.5)
        around = LINEAR[panorama(name)[height // 2 - 1 : height // 2 + 1, column - 1 : column + 2]].reshape(-1, 3)
        assert (seen >= around.min(0) - 0.01).all()
        assert (seen <= around.max(0) + 0.01).all()

import dataclasses

import numpy as np

from input_pipeline.synthetic.gestures import gesture_angles
from input_pipeline.synthetic.labels import scene_labels
from input_pipeline.synthetic.patches import PRINT, SKIN
from input_pipeline.synthetic.photo_look import make_photo_subject, sample_photo_look
from input_pipeline.synthetic.props import sample_props
from input_pipeline.synthetic.rendering import draw
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.stage import build_stage
from occrobnet_jax.hands.embedded_hand import Pose, resting
from occrobnet_jax.skeleton import RIGHT, VISIBILITY

SIZE_PX = 64
INTRINSICS = np.array([[90.0, 0, 31.5], [0, 90.0, 31.5], [0, 0, 1]])


def _scene():
    """Return an open hand 0.5 m away, its back to the camera."""
    hand = resting(Pose(RIGHT, gesture_angles("open"), np.zeros(10, np.float32), np.zeros(3)))
    return Scene((hand.moved(np.eye(3), np.array([0, -0.07, 0.5])),), None, np.eye(3), np.zeros(3), INTRINSICS)


def _wall():
    """Return a prop before the whole hand."""
    (prop,) = sample_props(1, (0.3, 0.3), INTRINSICS, np.random.default_rng(0))
    middle = prop.verts_m.mean(0)
    return dataclasses.replace(prop, verts_m=(prop.verts_m - middle) * [20, 20, 0.1] + [0, 0, 0.3])


def test_what_a_prop_hides_counts_as_hidden_by_an_object_and_as_background():
    subject, skin = make_photo_subject(np.random.default_rng(0))
    segmentations, classes = [], []
    for props in ((), (_wall(),)):
        scene = _scene()
        stage = build_stage(scene, subject, props)
        look = sample_photo_look("train", SIZE_PX, skin, None, np.random.default_rng(1))
        segmentations.append(draw(scene, stage, look, SIZE_PX, np.random.default_rng(2))[1])
        classes.append({VISIBILITY[k] for k in scene_labels(scene, stage, SIZE_PX)["visibility"][RIGHT]})
    assert set(np.unique(segmentations[0])) == {0, 1 + RIGHT}
    assert not segmentations[1].any()
    assert "visible" in classes[0]
    assert classes[1] == {"object"}


def test_props_lie_at_their_depth_and_wear_skin_or_a_print():
    props = sample_props(60, (0.5, 0.9), INTRINSICS, np.random.default_rng(3))
    depths_m = [(prop.verts_m[:, 2].min() + prop.verts_m[:, 2].max()) / 2 for prop in props]
    assert min(depths_m) > 0.2
    assert max(depths_m) < 1.2
    of_skin = 0
    for prop in props:
        places = prop.skin[:, :2]
        patches = [patch for patch in (SKIN, PRINT) if (places >= patch[0]).all() and (places <= patch[1]).all()]
        assert len(patches) == 1
        of_skin += patches[0] is SKIN
        np.testing.assert_allclose(np.linalg.norm(prop.normals, axis=-1), 1, atol=1e-6)
    assert 20 < of_skin < 55

"""What hides joints on real data, on generated trees and a hand of tubes, against rays shot one by one."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from input_pipeline.convert.ho3d.h2o3d import H2O3D
from input_pipeline.convert.ho3d.ho3d import HO3D
from input_pipeline.convert.interhand26m.source import InterHand26M
from input_pipeline.convert.occlusion import Occlusion, back_directions, with_object
from input_pipeline.manifest import dataset_manifest
from input_pipeline.prepare import main as prepare
from input_pipeline.schema import empty_example, validate_example
from input_pipeline.synthetic import raycast
from input_pipeline.synthetic.labels import scene_labels
from input_pipeline.synthetic.objects import make_solid
from input_pipeline.synthetic.scene import sample_scene
from input_pipeline.synthetic.skin import make_subject, vertex_normals
from input_pipeline.synthetic.stage import build_stage
from input_pipeline.synthetic.visibility import Skin, make_scene, scene_visibility
from occrobnet_jax.files.meshes import Mesh, read_mesh
from occrobnet_jax.files.readers import decode_segmentation
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.hands.mano_model import load_mano
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND, LEFT, RIGHT, SCENE_KINDS, WRIST
from tests.official_ho3d import write_h2o3d, write_ho3d, write_object_models
from tests.official_interhand import write_interhand
from tests.support.mano_hand import write_mano_hands
from tests.tube_hand import tube_mano, write_tube_hands

UNKNOWN, VISIBLE, OWN, OTHER, OBJECT, OUTSIDE = range(6)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_object_models(folder / "objects")
    write_tube_hands(folder / "mano")
    return folder


@pytest.fixture(scope="module")
def occlusion(models):
    return Occlusion(models / "mano", models / "objects")


@pytest.fixture(scope="module")
def trees(tmp_path_factory, models, occlusion):
    folder = tmp_path_factory.mktemp("trees")
    interhand = write_interhand(folder / "interhand26m", "code", splits=("val",))
    return {
        "ho3d": HO3D(write_ho3d(folder / "ho3d", "v2", 2), "v2", occlusion),
        "h2o3d": H2O3D(write_h2o3d(folder / "h2o3d", 2), occlusion),
        "interhand26m": InterHand26M(interhand, folder / "index", mano=models / "mano"),
    }


def first_hits(points, triangles):
    """Moeller and Trumbore: points whose rays from the origin meet a triangle, the first one, and how far that is."""
    for row, direction in enumerate(points):
        a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
        p = np.cross(direction, ac)
        determinant = (ab * p).sum(-1)
        determinant = np.where(np.abs(determinant) < 1e-15, np.nan, determinant)
        u = (-a * p).sum(-1) / determinant
        q = np.cross(-a, ab)
        v, t = (direction * q).sum(-1) / determinant, (ac * q).sum(-1) / determinant
        met = np.flatnonzero((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0))
        if len(met):
            nearest = met[t[met].argmin()]
            yield row, nearest, t[nearest]


def by_hand(example, hands, solid):
    """Classes and shares of the definition, joint by joint. `hands`: model and posed skin of those that are there."""
    parts = [(hand, posed[model.faces]) for hand, (model, posed) in hands.items()]
    parts += [(2, solid.vertices[solid.triangles])] if solid is not None else []
    triangles = np.concatenate([part for _, part in parts])
    owner = np.concatenate([np.full(len(part), number) for number, part in parts])
    size = np.array([example["width"], example["height"]])
    intrinsics = example["intrinsics"].astype(float)
    classes, shares = np.zeros((2, 21), int), np.zeros((2, 21))
    for hand, (model, posed) in hands.items():
        normals = np.zeros((len(posed), 3))
        for a, b, c in model.faces:
            normals[[a, b, c]] += np.cross(posed[b] - posed[a], posed[c] - posed[a])
        rest, joints = model.skin.rest_m, model.joints.rest_m
        for joint, back in enumerate(back_directions(model, hand)):
            distance = [float(np.linalg.norm(vert - joints[joint])) for vert in rest]
            on_back = [float((vert - joints[joint]) @ back) > 0 for vert in rest]
            group = []
            for side in (True, False):
                there = [vert for vert in range(778) if on_back[vert] == side]
                radius = max(np.mean(sorted(distance[vert] for vert in there)[:8]), 0.005)
                group += [vert for vert in there if distance[vert] < 1.45 * radius]
            facing = [vert for vert in group if normals[vert] @ posed[vert] < 0] or group
            hiders = {row: owner[triangle] for row, triangle, t in first_hits(posed[facing], triangles) if t < 0.997}
            px = posed[facing] @ intrinsics.T
            inside = ((px[:, :2] / px[:, 2:] >= -0.5) & (px[:, :2] / px[:, 2:] < size - 0.5)).all(-1)
            seen = [row for row in range(len(facing)) if row not in hiders]
            shares[hand, joint] = sum(inside[row] for row in seen) / len(facing)
            if not example["joints_annotated"][hand, joint]:
                shares[hand, joint] = 0
            elif not example["joints_in_image"][hand, joint]:
                classes[hand, joint] = OUTSIDE
            elif len(seen) >= len(facing) / 2:
                classes[hand, joint] = VISIBLE
            else:
                blame = [sum(each == who for each in hiders.values()) for who in (hand, 1 - hand, 2)]
                classes[hand, joint] = (OWN, OTHER, OBJECT)[int(np.argmax(blame))]
    return classes, shares


def posed_hands(example, mano):
    return {
        hand: (mano.models[hand], mano.models[hand].verts_m(*(example[name][hand].astype(float) for name in FIT)))
        for hand in np.flatnonzero(example["hand_present"]).tolist()
    }


FIT = ("hand_pose", "hand_shape", "hand_translation_m")


@pytest.mark.parametrize(
    ("name", "split", "rows"),
    [("ho3d", "train", (0, 3, 5)), ("h2o3d", "train", (0, 4)), ("interhand26m", "val", (2, 7))],
)
def test_labels_agree_with_rays_shot_one_by_one(trees, models, name, split, rows):
    mano, found = load_mano(models / "mano"), []
    for row in rows:
        example = trees[name].example(split, row)
        validate_example(example)
        solid = None
        if example["object_known"]:
            solid = solid_of(example, models)
        classes, shares = by_hand(example, posed_hands(example, mano), solid)
        np.testing.assert_array_equal(example["visibility"], classes)
        np.testing.assert_allclose(example["visible_share"], shares, atol=1e-6)
        found += classes[example["joints_annotated"] > 0].tolist()
    assert len(set(found)) > 1, "the scenes hide something and show something"


def solid_of(example, models):
    """The object's mesh in the camera's frame."""
    (path,) = (models / "objects").glob(f"{int(example['object_id']):03d}_*/*.obj")
    rest = read_mesh(path)
    turn, shift = example["object_rotation"].astype(float), example["object_translation_m"].astype(float)
    return Mesh(rest.vertices @ turn.T + shift, rest.triangles)


@pytest.mark.parametrize(("name", "split", "row"), [("h2o3d", "train", 4), ("interhand26m", "val", 2)])
def test_masks_show_what_rays_meet_that_are_shot_one_by_one(trees, models, occlusion, name, split, row):
    example = trees[name].example(split, row)
    masks = decode_segmentation(occlusion.labels(example)["segmentation"], name="it")
    assert masks.shape == (example["height"] // 2, example["width"] // 2)
    parts = [(1 + hand, posed[model.faces]) for hand, (model, posed) in posed_hands(example, tube_mano()).items()]
    if example["object_known"]:
        solid = solid_of(example, models)
        parts.append((3, solid.vertices[solid.triangles]))
    owner = np.concatenate([np.full(len(part), number) for number, part in parts])
    edges = np.argwhere(cv2.dilate(masks, np.ones((3, 3), np.uint8)) > 0)
    cells = edges[np.random.default_rng(0).permutation(len(edges))[:300]]
    pixels = np.column_stack([2 * cells[:, ::-1] + 0.5, np.ones(len(cells))])  # a cell covers two pixels either way
    rays = pixels @ np.linalg.inv(example["intrinsics"].astype(float)).T
    expected = np.zeros(len(cells), int)
    for cell, triangle, _ in first_hits(rays, np.concatenate([part for _, part in parts])):
        expected[cell] = owner[triangle]
    assert (masks[tuple(cells.T)] != expected).sum() <= 2, "single and double precision differ on edges"
    assert len(set(expected.tolist())) == len(parts) + 1


@pytest.mark.parametrize("name", ["ho3d", "h2o3d", "interhand26m"])
def test_joints_that_are_seen_lie_on_the_mask_of_their_own_hand(trees, occlusion, name):
    split = "val" if name == "interhand26m" else "train"
    on_own = []
    for row in range(trees[name].splits[split]):
        example = trees[name].example(split, row)
        validate_example(example)
        seen = np.argwhere(example["visibility"] == VISIBLE)
        masks = decode_segmentation(occlusion.labels(example)["segmentation"], name="it") if len(seen) else None
        for hand, joint in seen:
            x, y = project(example["joints_cam_m"][hand, joint], example["intrinsics"])
            on_own.append(masks[min(int(y / 2), len(masks) - 1), min(int(x / 2), masks.shape[1] - 1)] == 1 + hand)
    assert np.mean(on_own) > 0.9


def test_the_object_is_where_its_authors_have_it(trees, occlusion):
    source = trees["ho3d"]
    for row in range(source.splits["train"]):
        authors = source._files("train", row).segmentation(2)
        if not authors:
            continue
        example = source.example("train", row)
        masks, known = (decode_segmentation(png, name="it") for png in (example["segmentation"], authors))
        np.testing.assert_array_equal(masks == 3, np.repeat(np.repeat(known, 2, 0), 2, 1) == 3)
        drawn = decode_segmentation(occlusion.labels(example)["segmentation"], name="it")
        np.testing.assert_array_equal(masks == 1, (drawn == 1) & (masks != 3))
        assert with_object(b"", authors) == authors


def test_fits_that_lie_elsewhere_are_none_and_a_dataset_of_them_is_refused(tmp_path, models, occlusion):
    example = facing_example()
    assert occlusion.labels(example)
    example["joints_cam_m"][RIGHT, :, 0] += 0.04
    assert occlusion.labels(example) == {}
    others = Occlusion(write_mano_hands(tmp_path / "other"), models / "objects")
    with pytest.raises(ValueError, match=r"the MANO hands don't lie on the joints of ho3d_v2's train: they are \d+ mm"):
        HO3D(write_ho3d(tmp_path / "raw", "v2", 2), "v2", others)


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_a_synthetic_scenes_meshes_give_its_stored_labels(kind):
    rng = np.random.default_rng(3)
    subject, solid, scene = make_subject(rng), None, None
    if kind.endswith("object"):
        solid = make_solid("box", np.random.default_rng(1), False)
    while scene is None:
        scene = sample_scene(kind, subject.shape, solid, 128, rng)
    labels = scene_labels(scene, build_stage(scene, subject), 128)
    skins = {}
    for hand in scene.hands:
        faces, verts_m = load_hand().models[hand.side].faces, hand.verts_m.astype(np.float32)
        normals = vertex_normals(verts_m, faces).astype(np.float32)
        skins[hand.side] = Skin(verts_m, faces, normals, load_hand().joint_verts)
    mesh = None if solid is None else Mesh(scene.object_verts_m(), solid.faces)
    casting, inside = make_scene(skins, mesh), labels["joints_in_image"] > 0
    classes, share = scene_visibility(casting, skins, inside, labels["intrinsics"], (128, 128))
    np.testing.assert_array_equal(classes, labels["visibility"])
    np.testing.assert_allclose(share, labels["visible_share"], atol=1e-6)
    assert (labels["visibility"] == VISIBLE).any()


@pytest.mark.parametrize("hand", [RIGHT, LEFT], ids=HAND_NAMES)
def test_the_back_of_a_hand_is_found_in_any_model(models, hand):
    embedded = load_hand().models[hand]
    mirror = np.array([1.0, 1, 1]) if hand == RIGHT else np.array([-1.0, 1, 1])
    np.testing.assert_allclose(back_directions(embedded, hand), load_hand().joint_backs * mirror, atol=1e-6)
    backs = back_directions(load_mano(models / "mano").models[hand], hand)
    np.testing.assert_allclose(np.linalg.norm(backs, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(backs[WRIST], [0, 1, 0], atol=1e-3)
    assert (backs[4:, 1] > 0.9).all()
    assert (backs[:4, 2] > 0.4).all(), "the thumb's nail looks to the thumb's side"


def facing_example(hand=RIGHT):
    """A flat hand, its back to the camera, half a metre away; a box by the name of 003 far behind it."""
    example = empty_example()
    example["width"], example["height"] = np.int32(640), np.int32(480)
    example["intrinsics"] = np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1]], np.float32)
    example["hand_present"][hand] = example["hand_pose_known"][hand] = 1
    example["hand_present_known"] = example["object_known"] = np.uint8(1)
    example["object_id"], example["object_translation_m"] = np.int32(3), np.array([0, 0, 2.0], np.float32)
    place(example, hand, [0, 0, 0.5])
    return example


def place(example, hand, at_m):
    example["hand_pose"][hand, :3] = [-np.pi / 2, 0, 0]  # y, the back's direction, becomes -z, towards the camera
    example["hand_translation_m"][hand] = at_m
    fit = (example[name][hand].astype(float) for name in FIT)
    example["joints_cam_m"][hand] = tube_mano().models[hand].joints_m(*fit)
    example["joints_annotated"][hand] = example["joints_in_image"][hand] = 1


def classes_of(occlusion, example):
    return occlusion.labels(example)["visibility"]


def test_nothing_before_a_flat_hand_leaves_its_joints_visible(occlusion):
    classes = classes_of(occlusion, facing_example())
    assert (classes[RIGHT] == VISIBLE).mean() > 0.7  # the tubes of the palm overlap near the wrist
    assert not classes[LEFT].any()


def test_a_box_before_the_hand_hides_it_and_an_absent_one_may_have(occlusion, models):
    example = facing_example()
    example["object_translation_m"] = np.array([0, 0, 0.1], np.float32)
    labels = occlusion.labels(example)
    assert (labels["visibility"][RIGHT] == OBJECT).mean() > 0.7
    assert labels["visible_share"][RIGHT].mean() < 0.3
    example["object_id"] = np.int32(11)
    assert occlusion.labels(example) == {}
    assert Occlusion(models / "mano").labels(example) == {}
    example["object_known"] = np.uint8(0)
    assert (classes_of(occlusion, example)[RIGHT] == VISIBLE).mean() > 0.7


def test_the_object_hides_what_it_is_turned_to(models, tmp_path):
    """A bar before the hand, turned about the line of sight, lies over the index finger or over none."""
    trimesh.creation.box(extents=(0.4, 0.02, 0.004)).export(tmp_path / "003_cracker_box.ply")
    occlusion, example = Occlusion(models / "mano", tmp_path), facing_example()
    tip, other_tip = INTERHAND.index("index4"), INTERHAND.index("pinky4")
    x, y, _ = load_mano(models / "mano").models[RIGHT].joints_m(*(example[name][RIGHT] for name in FIT))[tip]
    angle = np.arctan2(y, x)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
    example["object_rotation"], example["object_translation_m"] = turn, np.array([0, 0, 0.25], np.float32)
    classes = classes_of(occlusion, example)[RIGHT]
    assert (classes[tip], classes[other_tip]) == (OBJECT, VISIBLE)
    example["object_rotation"] = turn.T
    assert classes_of(occlusion, example)[RIGHT, tip] == VISIBLE


def test_the_other_hand_hides_and_one_without_a_fit_leaves_all_unknown(occlusion):
    example = facing_example()
    for hand, depth in ((RIGHT, 0.5), (LEFT, 0.4)):
        place(example, hand, [0, 0, depth])
        example["hand_present"][hand] = example["hand_pose_known"][hand] = 1
    classes = classes_of(occlusion, example)
    assert OTHER in classes[RIGHT]
    assert OTHER not in classes[LEFT]
    for name in ("hand_pose_known", "hand_present_known"):
        partial = example | {name: np.zeros_like(example[name])}
        assert occlusion.labels(partial) == {}
    example["hand_pose_known"][LEFT] = 0
    assert occlusion.labels(example) == {}


def test_joints_outside_or_without_annotation_stay_as_they_are(occlusion):
    example = facing_example()
    example["joints_in_image"][RIGHT, 3] = 0
    example["joints_annotated"][RIGHT, 8] = 0
    labels = occlusion.labels(example)
    assert labels["visibility"][RIGHT, 3] == OUTSIDE
    assert (labels["visibility"][RIGHT, 8], labels["visible_share"][RIGHT, 8]) == (UNKNOWN, 0)


def test_splits_and_moments_without_fits_are_unknown(trees):
    for name in ("ho3d", "h2o3d"):
        example = trees[name].example("evaluation", 0)
        assert not np.isin(example["visibility"], (VISIBLE, OWN, OTHER, OBJECT)).any()
    source = trees["interhand26m"]
    for row in range(source.splits["val"]):
        example = source.example("val", row)
        known = np.isin(example["visibility"], (VISIBLE, OWN, OTHER, OBJECT)).any()
        assert known == (example["hand_pose_known"].any() and example["joints_in_image"].any())


def test_conversion_and_later_metrics_say_what_is_known(tmp_path, models, capsys):
    raw = write_ho3d(tmp_path / "raw", "v2", 2)
    with_models = [f"--mano={models / 'mano'}", f"--object_models={models / 'objects'}"]
    options = ["ho3d", "--version=v2", f"--raw={raw}", "--num_processes=1"]
    assert prepare([*options, f"--data_dir={tmp_path / 'with'}", *with_models]) == 0
    said = capsys.readouterr().out
    assert "train                  6           0           6" in said
    assert "val                    2           0           2" in said
    assert "evaluation             4           0           0" in said
    assert "what hides a joint is unknown" not in said
    assert dataset_manifest(tmp_path / "with", "ho3d_v2")["occlusion"] == (
        "ho3d_v2: known in 6 of 6 of train, 2 of 2 of val, 0 of 4 of evaluation"
    )
    assert prepare([*options, f"--data_dir={tmp_path / 'without'}"]) == 0
    assert "note: what hides a joint is unknown: give your MANO files and meshes" in capsys.readouterr().out
    assert "known in 0 of 6 of train" in dataset_manifest(tmp_path / "without", "ho3d_v2")["occlusion"]
    assert prepare([*options, f"--data_dir={tmp_path / 'without'}", *with_models]) == 1
    assert "made with other settings" in capsys.readouterr().err


def test_other_models_are_other_settings(models, occlusion, tmp_path):
    hashes = occlusion.settings["occlusion_sha256"]
    assert {"MANO_RIGHT.pkl", "MANO_LEFT.pkl", "003", "024"} < hashes.keys()
    assert json.loads(json.dumps(hashes)) == hashes
    trimesh.creation.box(extents=(1, 1, 1)).export(tmp_path / "003_cracker_box.ply")
    other = Occlusion(models / "mano", tmp_path).settings["occlusion_sha256"]
    assert other["003"] != hashes["003"]
    assert other["MANO_LEFT.pkl"] == hashes["MANO_LEFT.pkl"]


def test_a_machine_without_a_ray_caster_is_told_so_before_it_begins(models, monkeypatch):
    monkeypatch.setattr(raycast, "EmbreeScene", None)
    with pytest.raises(ValueError, match=r"found with the package embreex"):
        Occlusion(models / "mano")


def test_hands_without_objects_are_refused(models, capsys):
    with pytest.raises(SystemExit):
        prepare(["ho3d", "--version=v2", "--raw=x", "--data_dir=y", f"--mano={models / 'mano'}"])
    assert "--mano and --object_models belong together" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"v 0 0 0\nf 1 2 3\n", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", b"\x00" * 99]
)
def test_meshes_that_are_none_are_named(models, tmp_path, content):
    (tmp_path / "003_cracker_box.obj").write_bytes(content)
    with pytest.raises(ValueError, match=r"003_cracker_box.obj is not a"):
        Occlusion(models / "mano", tmp_path)
    with pytest.raises(ValueError, match="holds no object models"):
        Occlusion(models / "mano", tmp_path / "nowhere")


def write_scaled(objects: Path, folder: Path, factor: float) -> Path:
    """The meshes in another unit, with what other systems leave beside them."""
    for path in objects.rglob("*.obj"):
        (place := folder / path.parent.name).mkdir(parents=True)
        mesh = read_mesh(path)
        scaled = trimesh.Trimesh(factor * mesh.vertices, mesh.triangles, process=False)
        scaled.export(place / "textured.OBJ", "obj")
        (place / "._textured.obj").write_bytes(b"Mac OS X")
    return folder


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "as mm"), (100.0, "as cm"), (0.001, "no usual unit")])
def test_meshes_in_another_unit_than_the_labels_are_refused(models, tmp_path, factor, unit):
    objects, raw = write_scaled(models / "objects", tmp_path / "objects", factor), write_ho3d(tmp_path / "raw", "v2", 1)
    with pytest.raises(ValueError, match=rf"textured.OBJ measures .* models are in metres, and {unit}"):
        HO3D(raw, "v2", Occlusion(models / "mano", objects))


def test_a_mesh_in_another_unit_is_refused_at_its_first_frame_where_none_was_looked_at(models, tmp_path, monkeypatch):
    monkeypatch.setattr("input_pipeline.convert.frame_checks.FRAMES_CHECKED", 0)
    objects = write_scaled(models / "objects", tmp_path / "objects", 1000.0)
    source = H2O3D(write_h2o3d(tmp_path / "raw", 1), Occlusion(models / "mano", objects))
    with pytest.raises(ValueError, match=r"textured.OBJ measures .* as mm it would fit"):
        source.example("train", 0)

"""InterHand2.6M's conventions against loops that follow the words of each, sample by sample and joint by joint."""

import dataclasses
import math

import numpy as np
import pytest

from occrobnet_jax.evaluation.formats.records import Records, Setting, select
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.metrics.protocols.interhand26m import PUBLISHED, InterHand, counting_joints
from occrobnet_jax.geometry.root_depth import REFERENCE_BONE_LENGTHS_M
from occrobnet_jax.skeleton import BONES, PARENTS, WRIST
from tests.support.random_records import random_records
from tests.support.scored import result_of

IN_2P5D = Setting(256, None, {"representation": "2.5d", "box_source": "stored"})
IN_3D = Setting(256, None, {"representation": "vectors"})
CASES = 250


NOTHING_ELSE = Extras()


def numbers(
    records: Records, convention: InterHand, setting: Setting = IN_2P5D, extras: Extras = NOTHING_ELSE
) -> dict[str, float]:
    records = {name: values for name, values in records.items() if name != "sequence"}  # intervals take long
    return {name: each.value for name, each in result_of(records, setting, convention, extras).numbers.items()}


def lift(records: Records, row: int, hand: int, joint: int, depth: float) -> list[float]:
    """Pinhole: x = (u - cx) / fx * z."""
    camera, (u, v) = records["intrinsics"][row], records["predicted_joints_px"][row, hand, joint]
    return [(u - camera[0, 2]) / camera[0, 0] * depth, (v - camera[1, 2]) / camera[1, 1] * depth, depth]


def own_depth(records: Records, row: int, hand: int) -> float:
    """Depth at which the mean squared bone is that of an ordinary hand: the larger root of a quadratic.

    A prior of weight 1e-9 pulls to 0.7 m, and no joint comes nearer than 5 cm.
    """
    depths = records["predicted_joints_rel_m"][row, hand, :, 2]
    a, b, c = 1e-9, 0.0, -1e-9 * 0.7**2
    for (parent, child), length in zip(BONES, REFERENCE_BONE_LENGTHS_M, strict=True):
        rays = [np.array(lift(records, row, hand, joint, 1.0)) for joint in (child, parent)]
        slope, offset = rays[0] - rays[1], rays[0] * depths[child] - rays[1] * depths[parent]
        a, b, c = a + slope @ slope / 20, b + 2 * slope @ offset / 20, c + (offset @ offset - float(length) ** 2) / 20
    return max((-b + math.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a), 0.05 - min(depths))


def fits_kypts_heatmaps(records: Records, row: int, hand: int, joint: int) -> bool:
    """`transform_input_to_output_space` of Keypoint Transformer, whose pixels begin half a pixel earlier."""
    inside = all(0 <= value + 0.5 < 256 for value in records["joints_px"][row, hand, joint])
    parent = PARENTS[joint]
    if joint == WRIST or not records["joint_annotated"][row, hand, parent]:
        return inside
    depth_mm = 1000 * (records["joints_cam_m"][row, hand, joint, 2] - records["joints_cam_m"][row, hand, parent, 2])
    return inside and 0 <= (depth_mm / 150 + 1) / 2 * 128 < 128


def oracle(records: Records, convention: InterHand, is_2p5d: bool) -> dict[str, float]:
    """The convention's words, as InterNet's evaluator is built: lists of errors of each of the 42 joints."""
    errors: dict[str, list[list[float]]] = {kind: [[] for _ in range(42)] for kind in ("single", "interacting", "all")}
    steps, handed = [], []
    for row in range(len(records["hand_present"])):
        if convention.frames == "with_mano" and not records["hand_fit_known"][row].any():
            continue
        if convention.black == "dropped" and records["is_black"][row]:
            continue
        present = records["hand_present"][row]
        kind = "interacting" if present[0] and present[1] else "single"
        if records["hand_present_known"][row]:
            said = records["predicted_hand_probability"][row]
            handed.append(all(said[hand] > 0.5 if present[hand] else said[hand] < 0.5 for hand in range(2)))
        counting, wrists = {}, {}
        for hand in range(2):
            mask = records["joint_annotated"][row, hand].copy()
            if convention.joints in ("image", "crop"):
                mask &= records["joint_in_image"][row, hand]
            wrist_counts = mask[WRIST]
            if convention.joints == "crop":
                mask &= [fits_kypts_heatmaps(records, row, hand, joint) for joint in range(21)]
            counting[hand] = [bool(mask[joint] and wrist_counts) for joint in range(21)]
            if not is_2p5d:
                points = records["predicted_joints_rel_m"][row, hand]
            else:
                sources = {
                    "ground_truth": records["root_cam_m"][row, hand, 2],
                    "rootnet": records["rootnet_depth_m"][row, hand],
                }
                depth = sources[convention.depth] if convention.depth in sources else own_depth(records, row, hand)
                relative = records["predicted_joints_rel_m"][row, hand, :, 2]
                points = np.array([lift(records, row, hand, joint, depth + relative[joint]) for joint in range(21)])
                wrists[hand] = depth
            truth = records["joints_cam_m"][row, hand]
            for joint in range(21):
                if counting[hand][joint] and not (joint == WRIST and convention.wrist == "left_out"):
                    own = [points[joint][axis] - points[WRIST][axis] for axis in range(3)]
                    true = [truth[joint][axis] - truth[WRIST][axis] for axis in range(3)]
                    error = 1000 * math.dist(own, true)
                    errors[kind][21 * hand + joint].append(error)
                    errors["all"][21 * hand + joint].append(error)
        if kind == "interacting" and counting[0][WRIST] and counting[1][WRIST]:
            step = records["predicted_relative_translation_m"][row]
            if convention.mrrpe == "rebuilt" and is_2p5d:
                own = records["predicted_joints_rel_m"][row, :, WRIST, 2]
                right = np.array(lift(records, row, 0, WRIST, wrists[0] + own[0]))
                step = np.array(lift(records, row, 1, WRIST, wrists[0] + step[2] + own[1])) - right
            true = records["joints_cam_m"][row, 1, WRIST] - records["joints_cam_m"][row, 0, WRIST]
            steps.append(1000 * math.dist(step, true))
    found = {}
    for kind, joints in errors.items():
        means = [sum(each) / len(each) for each in joints if each]
        if means:
            found[f"mpjpe_mm/{kind}"] = sum(means) / len(means)
            shares = [sum(error <= 20 for error in each) / len(each) for each in joints if each]
            found[f"pck_20mm/{kind}"] = sum(shares) / len(shares)
    if steps:
        found["mrrpe"] = sum(steps) / len(steps)
    if handed:
        found["handedness_accuracy"] = sum(handed) / len(handed)
    return found


@pytest.mark.parametrize("convention", PUBLISHED, ids=lambda each: each.published)
def test_published_conventions_agree_with_loops(convention: InterHand) -> None:
    rng = np.random.default_rng(sum(map(ord, convention.published)))
    for case in range(CASES // len(PUBLISHED)):
        records = random_records(rng, 2)
        records["predicted_joints_rel_m"] = records["predicted_joints_rel_m"] + rng.normal(0, 0.01, (2, 2, 1, 3))
        if convention.frames == "with_mano" and not records["hand_fit_known"].any():
            continue
        if not convention.rows(records, Extras()).any():
            continue
        is_2p5d = case % 3 != 0
        found = numbers(records, convention, IN_2P5D if is_2p5d else IN_3D)
        expected = oracle(records, convention, is_2p5d)
        way = convention.mrrpe if is_2p5d else "regressed"
        if "mrrpe" in expected:
            expected[f"mrrpe_mm/{way}"] = expected.pop("mrrpe")
        for name in ("mpjpe_mm", "pck_20mm"):
            for kind in ("single", "interacting", "all"):
                assert (f"{name}/{kind}" in found) == (f"{name}/{kind}" in expected)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-6), name


SWITCHED = (
    *("joints=image", "joints=crop", "joints=annotated", "wrist=left_out", "depth=ground_truth", "mrrpe=regressed"),
    *("frames=with_mano", "black=dropped"),
)


@pytest.mark.parametrize("switch", SWITCHED)
def test_switches_agree_with_loops(switch: str) -> None:
    rng = np.random.default_rng(7)
    changed = 0
    for _ in range(8):
        records = random_records(rng, 5)
        (convention,) = find(f"interhand26m/internet+{switch}")
        assert isinstance(convention, InterHand)
        if convention.frames == "with_mano" and not records["hand_fit_known"].any():
            continue
        if not convention.rows(records, Extras()).any():
            continue
        expected, found = oracle(records, convention, True), numbers(records, convention)
        assert found["mpjpe_mm/all"] == pytest.approx(expected["mpjpe_mm/all"], abs=1e-6)
        if "mrrpe" in expected:
            assert found[f"mrrpe_mm/{convention.mrrpe}"] == pytest.approx(expected["mrrpe"], abs=1e-6)
        plain = numbers(records, PUBLISHED[0])
        changed += found != plain
    assert changed or switch == "joints=image"


def test_wrists_lower_the_figure_by_one_in_21() -> None:
    records = random_records(np.random.default_rng(0), 40, known=1.0)
    counted = numbers(records, dataclasses.replace(PUBLISHED[-1], wrist="counted"), IN_3D)
    left_out = numbers(records, PUBLISHED[-1], IN_3D)
    assert counted["mpjpe_mm/all"] == pytest.approx(left_out["mpjpe_mm/all"] * 20 / 21)


def test_the_place_of_each_wrist_is_forgiven_but_neither_rotation_nor_scale() -> None:
    rng = np.random.default_rng(1)
    records = random_records(rng, 30)
    before = numbers(records, PUBLISHED[-1], IN_3D)
    moved = records | {"predicted_joints_rel_m": records["predicted_joints_rel_m"] + rng.normal(size=(30, 2, 1, 3))}
    assert numbers(moved, PUBLISHED[-1], IN_3D)["mpjpe_mm/all"] == pytest.approx(before["mpjpe_mm/all"])
    for change in (lambda joints: 1.1 * joints, lambda joints: joints[..., [1, 0, 2]]):
        changed = records | {"predicted_joints_rel_m": change(records["predicted_joints_rel_m"])}
        assert numbers(changed, PUBLISHED[-1], IN_3D)["mpjpe_mm/all"] != pytest.approx(before["mpjpe_mm/all"], abs=0.01)


def test_order_of_samples_and_swapped_hands_change_nothing() -> None:
    rng = np.random.default_rng(2)
    records = random_records(rng, 30)
    before = numbers(records, PUBLISHED[0])
    order = rng.permutation(30)
    shuffled = {name: values[order] for name, values in records.items()}
    assert numbers(shuffled, PUBLISHED[0]) == pytest.approx(before)
    by_hand = ("joints_cam_m", "joint_annotated", "joint_in_image", "joint_in_crop", "hand_present", "root_cam_m")
    by_hand += (
        "joints_px",
        "rootnet_depth_m",
        "predicted_joints_rel_m",
        "predicted_joints_px",
        "predicted_hand_probability",
    )
    swapped = records | {name: records[name][:, ::-1] for name in by_hand}
    swapped["predicted_relative_translation_m"] = -records["predicted_relative_translation_m"]
    for name in ("mpjpe_mm/single", "mpjpe_mm/interacting", "mpjpe_mm/all", "handedness_accuracy"):
        assert numbers(swapped, PUBLISHED[0])[name] == pytest.approx(before[name])


def test_true_depth_makes_a_perfect_2p5d_pose_perfect() -> None:
    records = random_records(np.random.default_rng(3), 10, known=1.0)
    truth = records["joints_cam_m"]
    present = records["hand_present"][..., None, None]
    focal, center = records["intrinsics"][:, [0, 1], [0, 1]], records["intrinsics"][:, :2, 2]
    depth = np.where(present, truth[..., 2:], 1.0)
    records["predicted_joints_px"] = truth[..., :2] / depth * focal[:, None, None] + center[:, None, None]
    records["predicted_joints_rel_m"] = truth - truth[:, :, WRIST:]
    perfect = numbers(records, find("interhand26m/internet_gt_depth")[0])  # type: ignore[arg-type]
    assert perfect["mpjpe_mm/all"] == pytest.approx(0, abs=1e-9)
    assert numbers(records, PUBLISHED[0])["mpjpe_mm/all"] > 1  # RootNet's depth is off by centimetres


def test_subset_by_annotation_ids() -> None:
    records = random_records(np.random.default_rng(4), 12, known=1.0)
    (human,) = find("interhand26m/internet+subset=H")
    extras = Extras(annotation_ids=frozenset({1000, 1003, 1007, 5}))
    of_subset = select(records, human.rows(records, extras))
    assert of_subset["annotation_id"].tolist() == [1000, 1003, 1007]
    result = result_of(records, IN_2P5D, human, extras)
    assert (result.protocol, result.num_examples) == ("interhand26m/internet+subset=H", 3)
    with pytest.raises(ValueError, match="needs the list of its annotation ids"):
        result_of(records, IN_2P5D, human, Extras())
    with pytest.raises(ValueError, match=r"none of the 12 predictions counts under .*asks for the annotation ids"):
        result_of(records, IN_2P5D, human, Extras(annotation_ids=frozenset({5})))


def test_names_say_what_was_done() -> None:
    (convention,) = find("interhand26m/kypt+wrist=left_out+subset=H+M")
    assert convention.name == "interhand26m/kypt+wrist=left_out"
    assert convention.resolve(IN_3D).name == "interhand26m/kypt+wrist=left_out+depth=none"
    assert convention.resolve(IN_2P5D) is convention
    (without,) = find("interhand26m/kypt+depth=none")
    with pytest.raises(ValueError, match="need a depth: one of rootnet, ground_truth, own"):
        without.resolve(IN_2P5D)
    with pytest.raises(ValueError, match="don't say whether they are"):
        convention.resolve(Setting(256))


def test_what_is_missing_is_named() -> None:
    records = random_records(np.random.default_rng(5), 4)
    records["rootnet_known"][2] = False
    with pytest.raises(ValueError, match="RootNet's depth is unknown for some examples, the first is in row 2"):
        numbers(records, PUBLISHED[0])
    del records["joint_in_image"]
    with pytest.raises(ValueError, match="lack joint_in_image, which joints=image needs"):
        numbers(records, PUBLISHED[1])
    masked = Setting(256, None, {"representation": "vectors", "black_frames": "mask"})
    with pytest.raises(ValueError, match="black frames were masked"):
        numbers(random_records(np.random.default_rng(6), 40), PUBLISHED[-1], masked)


def test_the_crop_of_kypt_begins_half_a_pixel_earlier_where_it_lies_there() -> None:
    """A joint on the edge of the one crop is outside the other."""
    records = random_records(np.random.default_rng(7), 4, known=1.0)
    records["joint_in_image"][:] = records["joint_annotated"]
    records["joints_cam_m"][..., 2] = 1.0
    records["joints_px"][:] = 100.0
    records["joints_px"][..., 0, :] = -0.3
    records["joints_px"][..., 1, :] = 255.7
    grid, half = (Setting(256, None, {"crop_centre": name}) for name in ("pixel_grid", "half_size"))
    present = records["joint_annotated"][..., 0]
    for setting, inside in ((grid, [True, False]), (half, [False, True])):
        counting = counting_joints(records, "crop", setting)
        np.testing.assert_array_equal(counting[..., 0], present & inside[0])
        np.testing.assert_array_equal(counting[..., 1], present & inside[1])
        np.testing.assert_array_equal(counting[..., 2:].all(axis=-1), present)


def test_without_a_step_between_the_hands_there_is_no_mrrpe() -> None:
    records = random_records(np.random.default_rng(8), 20)
    assert "mrrpe_mm/regressed" in numbers(records, PUBLISHED[-1], IN_3D)
    records["predicted_relative_translation_m"][:] = np.nan
    assert not any(name.startswith("mrrpe") for name in numbers(records, PUBLISHED[-1], IN_3D))

"""Which found hands a closer look confirms, where what both say is known."""

import dataclasses
import math

import numpy as np
import pytest

from occrobnet_jax.inference.confirm import AGREEMENT, SAME_JOINTS, FindingRule, Look, confirmed
from occrobnet_jax.inference.finder import FoundHand
from occrobnet_jax.inference.predictor import Prediction, Predictor
from occrobnet_jax.skeleton import LEFT, RIGHT
from tests.support.seen_hands import prediction

JOINTS_PX = np.stack([np.linspace(0, 100, 21), np.linspace(0, 100, 21)], axis=-1)
RULE = FindingRule()


def look(confidence: float | None = 0.8, moved_px: float = 0.0, box_px=(0.0, 0.0, 100.0, 100.0)) -> Look:
    return Look(box_px, JOINTS_PX + (moved_px, 0), None if confidence is None else np.full(21, confidence))


def test_sureness_is_the_log_odds_of_the_joints_and_their_agreement_with_the_finder():
    assert look(0.8).sureness == pytest.approx(math.log(4) + AGREEMENT)
    assert look(0.8, moved_px=50).sureness == pytest.approx(math.log(4) + AGREEMENT / 3)
    assert look(0.8, box_px=(200.0, 0.0, 300.0, 100.0)).sureness == pytest.approx(math.log(4))
    assert look(1.0).sureness < 20
    assert look(None).sureness == math.inf  # nothing speaks against it


def test_an_unsure_look_and_one_that_sees_joints_elsewhere_are_no_hands():
    assert confirmed([look(0.8), look(0.03), look(0.8, 0, (60.0, 60.0, 160.0, 160.0))], RULE) == [0]
    assert confirmed([], RULE) == []
    assert confirmed([look(0.03)], FindingRule(least_sureness=0.0)) == [0]


def test_of_two_looks_at_one_hand_the_surer_one_stays():
    near, far = (share * SAME_JOINTS * 100 for share in (0.9, 1.1))
    assert confirmed([look(0.8), look(0.9, near, (near, 0.0, 100 + near, 100.0))], RULE) == [1]
    assert confirmed([look(0.8), look(0.9, far, (far, 0.0, 100 + far, 100.0))], RULE) == [0, 1]


def test_hands_that_touch_share_a_crop_once_each_is_confirmed(monkeypatch: pytest.MonkeyPatch):
    found = [FoundHand(RIGHT, 0.9, (0.0, 0.0, 40.0, 40.0)), FoundHand(LEFT, 0.8, (30.0, 0.0, 70.0, 40.0))]
    looked_at = []

    class Sees(Predictor):
        confidence = 0.9

        def _predict_found(self, photo, hands, focal_px) -> Prediction:
            looked_at.append([hand.hand for hand in hands])
            x0, y0, x1, y1 = hands[0].box_px
            joints_px = np.stack([np.linspace(x0, x1, 21), np.linspace(y0, y1, 21)], axis=-1)
            said = prediction(hands[0].hand, joints_px)
            return dataclasses.replace(said, joint_confidence=np.full((2, 21), self.confidence))

    monkeypatch.setattr("occrobnet_jax.inference.predictor.found_hands", lambda *_: found)
    sees = Sees(None, 3, None, find=lambda image: image)
    pixels = np.zeros((60, 90, 3), np.uint8)
    assert len(sees(pixels)) == 1
    assert looked_at == [[RIGHT], [LEFT], [RIGHT, LEFT]]
    monkeypatch.setattr(Sees, "confidence", 0.05)
    assert sees(pixels) == []

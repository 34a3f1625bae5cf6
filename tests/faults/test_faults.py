"""The fault laboratory's experiments, few of each; `python -m tools.fault_lab all` runs them in full."""

import dataclasses

import pytest

from tests.faults import damage, experiments, machines
from tests.faults.experiments import Lab
from tests.support.limits import HANG_S

NO_MACHINES = machines.why_not()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab.prepare(tmp_path_factory.mktemp("lab"))


def assert_holds(finding: experiments.Finding) -> None:
    assert finding.holds, finding.verdict


def test_damage_is_detected_and_the_checkpoint_before_goes_on(lab):
    assert_holds(damage.damage(lab, flips=4, truncations=2))


def test_a_run_killed_during_a_save_ends_as_the_undisturbed_one(lab):
    assert_holds(experiments.kills(lab, range(1, 2), steps=12))


@pytest.mark.long
def test_the_layout_changes_neither_batches_nor_losses(lab):
    assert_holds(experiments.topologies(lab, ((1, 2), (2, 1)), "stand_in", steps=4))


@pytest.mark.long
def test_a_host_that_stops_is_named_by_the_other(lab):
    assert_holds(experiments.lost_host(lab, "stopped", within_s=HANG_S))


@pytest.mark.long
def test_a_run_whose_data_source_hangs_shows_where_ends_and_can_go_on(lab):
    assert_holds(experiments.hung(lab, limit_s=30.0))


def test_sigterm_to_one_of_two_hosts_saves_on_both_and_the_epoch_goes_on_with_one(lab):
    assert_holds(experiments.sigterm(lab, within_s=HANG_S))


@pytest.mark.long
def test_an_epoch_is_the_same_with_fewer_hosts_half_way(lab):
    assert_holds(experiments.elastic(lab, ((2, 3), (1, 8))))


@pytest.mark.skipif(bool(NO_MACHINES), reason=f"networks and boot ids of their own: {NO_MACHINES}")
def test_two_machines_train_as_one(lab):
    with machines.Machines() as apart:
        assert_holds(experiments.topologies(dataclasses.replace(lab, machines=apart), ((1, 2), (2, 1)), "stand_in", 4))

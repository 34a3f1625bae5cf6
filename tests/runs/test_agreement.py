import json

import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.parallel import coordination, hosts
from occrobnet_jax.runs import agreement
from occrobnet_jax.runs.experiment import Experiment


@pytest.fixture
def facts(monkeypatch):
    """What would be compared."""
    told = {}
    monkeypatch.setattr(coordination, "check_same", lambda name, facts: told.update(json.loads(json.dumps(facts))))
    monkeypatch.setattr(
        agreement, "dataset_manifest", lambda data_dir, name: {"version": "1.0.0", "content_sha256": f"of {name}"}
    )
    agreement.check_hosts_agree(Experiment(seed=7, data=DataConfig(name="ho3d_v2")))
    return told


def test_config_code_libraries_and_data_are_compared(facts):
    assert facts["config.seed"] == 7
    assert facts["config.model.ciet"] == "dual"
    assert {"git_sha", "python", "jax", "source_sha256"} <= set(facts)
    assert (facts["dataset.version"], facts["dataset.content_sha256"]) == ("1.0.0", "of ho3d_v2")


def test_the_checksum_of_the_code_sees_names_and_contents(tmp_path):
    package = tmp_path / "occrobnet_jax"
    package.mkdir()
    (package / "a.py").write_text("x = 1")
    first = agreement.source_sha256(tmp_path)
    (package / "a.py").write_text("x = 2")
    second = agreement.source_sha256(tmp_path)
    (package / "a.py").rename(package / "b.py")
    third = agreement.source_sha256(tmp_path)
    (tmp_path / "train.py").write_text("x = 3")
    assert len({first, second, third, agreement.source_sha256(tmp_path)}) == 4
    assert agreement.source_sha256() == agreement.source_sha256()


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_workdir_that_hosts_do_not_share_is_told_before_anything_is_trained(is_shared, monkeypatch, tmp_path):
    """In this process, the second host, the lead's mark is in the folder, or it isn't."""
    own = tmp_path / "own"
    own.mkdir()
    if is_shared:
        (own / "mark").touch()
    monkeypatch.setattr(hosts, "num_hosts", lambda: 2)
    monkeypatch.setattr(hosts, "is_lead", lambda: False)
    monkeypatch.setattr(coordination, "from_lead", lambda name, value: "mark")
    monkeypatch.setattr(coordination, "exchange", lambda name, value: ["yes", value])
    if is_shared:
        agreement.check_workdir_is_shared(own, limit_s=0.0)
    else:
        with pytest.raises(ValueError, match="host 1 doesn't see what host 0 writes to --workdir="):
            agreement.check_workdir_is_shared(own, limit_s=0.0)


def test_the_mark_does_not_stay_in_the_workdir(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(hosts, "num_hosts", lambda: 2)
    monkeypatch.setattr(agreement, "_appears", lambda mark, limit_s: seen.append(mark.exists()) or seen[0])
    agreement.check_workdir_is_shared(tmp_path)
    assert seen == [True]
    assert not list(tmp_path.iterdir())


def test_a_workdir_that_is_not_there_is_told_by_all_hosts(tmp_path, monkeypatch):
    agreement.check_workdir_is_shared(tmp_path / "absent")  # a host that is alone has nobody to share it with
    monkeypatch.setattr(hosts, "num_hosts", lambda: 2)
    with pytest.raises(ValueError, match="host 0 can't write to --workdir="):
        agreement.check_workdir_is_shared(tmp_path / "absent")

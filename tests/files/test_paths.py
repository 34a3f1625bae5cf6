from pathlib import Path

import pytest

from occrobnet_jax.files.paths import (
    copy_of,
    in_bucket,
    inner,
    local_path_argument,
    local_path_of,
    path_argument,
    path_of,
)
from tests.support import buckets


@pytest.mark.parametrize("text", ["runs/a", "/data", "../b"])
def test_what_has_no_scheme_is_a_local_path_as_it_stands(text: str) -> None:
    assert path_of(text) == Path(text)
    assert not in_bucket(path_of(text))


def test_a_tilde_is_the_user_s_folder_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for read in (path_of, local_path_of, path_argument, local_path_argument):
        assert read("~/c") == Path("/home/somebody/c")
    with pytest.raises(ValueError, match="there is no such user's folder"):
        path_of("~nobody-of-this-name/c")


@pytest.mark.parametrize("text", ["https://host/x", "hf://user/x", "file:///x", "az://b/x", "GS://b/x"])
def test_other_schemes_are_refused_by_name(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{text}: {text.partition(':')[0]}:// is not known here; name a local folder"
    ):
        path_of(text)


@pytest.mark.parametrize("text", ["gs://", "gs:///x", "s3://b//x", "s3://b/../x", "s3://b/x/..", "gs://b/./x"])
def test_what_leaves_its_bucket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no place in a bucket"):
        path_of(text)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^gs://b/x needs gcsfs: pip install"):
        path_of("gs://b/x")


def test_a_bucket_s_path_is_written_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCCROBNET_CACHE", "/cache")
    with buckets.in_memory():
        path = path_of("s3://bucket/a/")
        assert in_bucket(path)
        assert str(path / "b") == "s3://bucket/a/b"
        assert copy_of(path) == Path("/cache/buckets/s3/bucket/a")


def test_only_buckets_are_where_local_paths_are_not_wanted() -> None:
    with pytest.raises(ValueError, match="gs://b/x must be a local path; copy it here first"):
        local_path_of("gs://b/x")
    assert local_path_of("runs/x") == Path("runs/x")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "a/.", "s3://other/x", "a\0"])
def test_names_that_lead_out_of_their_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a file in a folder"):
        inner(name)


def test_other_names_stay_as_they_are() -> None:
    assert inner("a/b..c") == "a/b..c"

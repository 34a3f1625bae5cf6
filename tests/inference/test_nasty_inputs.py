"""What predict.py gives for each of twenty nasty inputs in one batch, with a network that is known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import predict as predict_script
from occrobnet_jax.files import readers
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.inference.predictor import Predictor
from tests.inference.test_predict import know_the_hands
from tests.support import nasty_inputs
from tests.support.fake_runs import tiny_experiment

HEIGHT, WIDTH = nasty_inputs.SIZE_PX
REFUSED = {
    "truncated.jpg": "is truncated: its end is missing (3,000 bytes)",
    "bomb.png": "has 60,000 x 60,000 px, more than the 134,217,728 that an image may have; make it smaller",
    "black.png": "shows nothing: the values of its pixels differ by 0 of 255",
    "no_permission.jpg": "can't be read: Permission denied",
    "no_image.jpg": "is not a complete JPEG or PNG image (16 bytes)",
}
SIZES = {"20_megapixels.jpg": (3888, 5184), "32_px.png": (32, 32), "exif_turned.jpg": (WIDTH, HEIGHT)}
READ = nasty_inputs.FILES.keys() - REFUSED.keys() - {"animated.gif"}


@dataclasses.dataclass(frozen=True)
class Batch:
    """What became of all of them."""

    photos: Path
    output: Path
    errors: list[str]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    photos, output = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("out")
    nasty_inputs.write(photos)
    predictor = Predictor(tiny_experiment(photos), 7, know_the_hands)
    size_of = readers.size_of

    def size_of_what_is_allowed(path: Path) -> int:  # root may read all
        if path.name == nasty_inputs.UNREADABLE:
            raise PermissionError(13, "Permission denied")
        return size_of(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict_script, "load_predictor", lambda *_: predictor)
        patch.setattr(readers, "size_of", size_of_what_is_allowed)
        names = [str(photos / name) for name in nasty_inputs.FILES]
        return Batch(photos, output, predict_script.predict(names, output, Path("net")))


def results(batch: Batch, name: str) -> set[str]:
    stem = Path(name).stem
    return {path.name.removeprefix(stem) for path in batch.output.iterdir() if path.name.startswith(stem)}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_shows_nothing_is_one_sentence_and_leaves_nothing(batch: Batch, name: str) -> None:
    (error,) = (error for error in batch.errors if name in error)
    assert error == f"{batch.photos / name} {REFUSED[name]}"
    assert results(batch, name) == set()


@pytest.mark.parametrize("name", sorted(READ))
def test_what_shows_something_is_read_with_its_size(batch: Batch, name: str) -> None:
    assert not [error for error in batch.errors if name in error]
    assert results(batch, name) == {".json", ".jpg"}
    content = json.loads((batch.output / f"{Path(name).stem}.json").read_text())
    size = SIZES.get(name, (HEIGHT, WIDTH))
    assert (content["height"], content["width"]) == size
    overlay = decode_image((batch.output / f"{Path(name).stem}.jpg").read_bytes(), name="overlay")
    assert overlay.shape == (*size, 3)
    (crop,) = content["crops"]
    assert np.isfinite(crop["hands"][0]["joints_px"]).all()


def test_an_animation_is_a_video(batch: Batch) -> None:
    assert results(batch, "animated.gif") == {".json", ".mp4"}
    assert len(json.loads((batch.output / "animated.json").read_text())["frames"]) == 3


def test_the_page_has_all_of_them_and_their_names_are_text(batch: Batch) -> None:
    page = (batch.output / "index.html").read_text()
    assert page.count("<h2>") == len(nasty_inputs.FILES)
    assert page.count('class="error"') == len(REFUSED)
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in page
    assert len(batch.errors) == len(REFUSED)
    assert not [path for path in batch.output.iterdir() if path.name.startswith(".")]  # temporary files


def test_an_output_that_is_read_only_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_script.os, "access", lambda path, mode: False)  # root may write all
    with pytest.raises(ValueError, match=r"--output=.* can't be written \(permission denied\); choose another folder"):
        predict_script.prepare_output(tmp_path)

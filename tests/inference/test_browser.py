"""The page of predictions in a real browser, where one is installed."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from occrobnet_jax.inference.predictor import Photo
from occrobnet_jax.inference.results import failed_entry, overlay, page_entry, page_html
from occrobnet_jax.skeleton import RIGHT
from tests.support.limits import HANG_S
from tests.support.seen_hands import HAND_PX, prediction

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NAME = "<img src=x onerror=document.title='run'>.png"
WIDTH_PX = 390  # of a phone
PHONE = """<!doctype html><iframe width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const inside = document.querySelector("iframe").contentDocument;
  const words = [inside.documentElement.scrollWidth, inside.images.length, inside.querySelectorAll("canvas").length];
  document.body.innerHTML = `<pre id="found">${{words.join(" ")}} ${{inside.title}}</pre>`;
}});
</script>"""  # headless Chromium's own window is never narrower than 500 px


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_page_is_readable_on_a_phone_and_names_stay_text(tmp_path: Path) -> None:
    said, photo = prediction(RIGHT, HAND_PX + 30), Photo(np.full((64, 96, 3), 90, np.uint8), NAME)
    failed = failed_entry("<b>broken</b>.jpg", "can't be <i>read</i>")
    content = page_html([page_entry([said], overlay([said], photo), NAME), failed], "net", 3)
    page = tmp_path / "phone.html"
    page.write_text(PHONE.format(width=WIDTH_PX, page=html.escape(content)))
    loaded = _loaded(page, tmp_path / "profile")
    assert "CONSOLE" not in loaded.stderr
    found = re.search(r'id="found">([^<]*)<', loaded.stdout)
    assert found is not None
    width, images, canvases, title = found[1].split(maxsplit=3)
    assert (images, canvases, title) == ("1", "1", "2 photos")  # had a name run or become an image, it would show
    assert int(width) <= WIDTH_PX


def _loaded(page: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    """Load a page and return what it has become, with the console's messages on standard error."""
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0")
    command = [str(BROWSER), *options, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=True)

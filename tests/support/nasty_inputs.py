"""Inputs that go wrong elsewhere, generated: python -m tests.support.nasty_inputs FOLDER."""

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from input_pipeline.synthetic.photos import SyntheticPhotos
from occrobnet_jax.files.readers import decode_image

Rgb = UInt8[np.ndarray, "h w 3"]
SIZE_PX = (240, 320)  # height, width
UNREADABLE = "no_permission.jpg"
ORIENTATION, TURNED_LEFT = 0x0112, 6  # of EXIF


def hand_photo() -> Rgb:
    """A rendered hand, wider than high."""
    example = SyntheticPhotos(image_size_px=SIZE_PX[1]).example("test", 6)
    return decode_image(example["image"], name="the scene")[: SIZE_PX[0]]


def encoded(rgb: Rgb, ending: str = ".jpg") -> bytes:
    return cv2.imencode(ending, rgb[..., ::-1])[1].tobytes()


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(rgb: Rgb) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_LEFT
    return saved(Image.fromarray(rgb), "JPEG", exif=exif)


def animated(rgb: Rgb) -> bytes:
    frames = [Image.fromarray(np.roll(rgb, 8 * step, axis=1)) for step in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)


def bomb(rgb: Rgb) -> bytes:
    """A PNG of 60,000 x 60,000 px that has a hundred bytes."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(9)))]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gloved(rgb: Rgb) -> Rgb:
    """The hand in blue rubber: what has the hue of skin gets another one, and loses its fine detail."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    skin = (hsv[..., 0] < 22) & (hsv[..., 1] > 40) & (hsv[..., 2] > 60)
    hsv[..., 0], hsv[..., 1] = np.where(skin, 110, hsv[..., 0]), np.where(skin, 200, hsv[..., 1])
    return np.where(skin[..., None], cv2.medianBlur(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), 7), rgb)


def drawn(rgb: Rgb) -> Rgb:
    """Its outlines, black on white."""
    edges = cv2.Canny(cv2.GaussianBlur(rgb, (5, 5), 0), 30, 90)
    return np.repeat(255 - cv2.dilate(edges, np.ones((2, 2)))[..., None], 3, axis=2)


FILES: dict[str, Callable[[Rgb], bytes]] = {
    "20_megapixels.jpg": lambda rgb: encoded(cv2.resize(rgb, (5184, 3888))),
    "32_px.png": lambda rgb: encoded(cv2.resize(rgb, (32, 32), interpolation=cv2.INTER_AREA), ".png"),
    "exif_turned.jpg": turned,
    "grey.jpg": lambda rgb: saved(Image.fromarray(rgb).convert("L"), "JPEG"),
    "cmyk.jpg": lambda rgb: saved(Image.fromarray(rgb).convert("CMYK"), "JPEG"),
    "16_bit.png": lambda rgb: encoded(rgb.astype(np.uint16) * 257, ".png"),
    "alpha.png": lambda rgb: saved(Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 128, np.uint8)])), "PNG"),
    "animated.gif": animated,
    "truncated.jpg": lambda rgb: encoded(rgb)[:3000],
    "bomb.png": bomb,
    "black.png": lambda rgb: encoded(np.zeros_like(rgb), ".png"),
    "upside_down.jpg": lambda rgb: encoded(rgb[::-1, ::-1]),
    "gloves.jpg": lambda rgb: encoded(gloved(rgb)),
    "drawing.jpg": lambda rgb: encoded(drawn(rgb)),
    "mirrored_selfie.jpg": lambda rgb: encoded(rgb[:, ::-1]),
    "<img src=x onerror=alert(1)>.jpg": encoded,
    "name with  spaces .jpg": encoded,
    "手のひら ñ.jpg": encoded,
    UNREADABLE: encoded,
    "no_image.jpg": lambda rgb: b"<html>404</html>",
    "a_photo.jpg": encoded,
}


def write(folder: Path) -> None:
    """Write all of them; who runs as root can read the unreadable one too."""
    rgb = hand_photo()
    for name, content in FILES.items():
        (folder / name).write_bytes(content(rgb))
    os.chmod(folder / UNREADABLE, 0)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Pictures with photographed skin, in photographed places, lit by their light."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.synthetic.appearance import (
    LINEAR,
    atlas_places_px,
    environment_names,
    panorama_view,
    skin_atlas,
    skin_names,
)
from input_pipeline.synthetic.backgrounds import background, palette, print_image
from input_pipeline.synthetic.environment_light import EnvironmentLight, ambient, environment_light
from input_pipeline.synthetic.look import NO_SLEEVE_M, Look
from input_pipeline.synthetic.patches import with_patches
from input_pipeline.synthetic.skin import Subject, sample_shape
from input_pipeline.synthetic.stage import SKIN
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.hands.embedded_hand import load_hand

AtlasAndTone = tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, " 3"]]
"""A person's atlas, and factors on its linear colors."""

HELD_OUT_ENVIRONMENTS = {"val": (0, 9, 18), "test": (4, 13, 22)}
"""Numbers of the environments that other splits don't have."""
_CREASE_PX = 3.0
_REMAPPED_ROW = 1024  # points; OpenCV takes fewer than 32,768


@dataclasses.dataclass(frozen=True)
class PhotoLook(Look):
    """The light of a photographed place; skin is read from an atlas."""

    harmonics: Float[np.ndarray, "3 9"]
    world_from_camera: Float[np.ndarray, "3 3"]
    atlas: UInt8[np.ndarray, "h w 3"]
    tone: Float[np.ndarray, " 3"]  # factors on the atlas's linear colors

    def ambient(self, normal: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the light of the place without its dominant one."""
        return ambient(self.harmonics, self.world_from_camera @ normal)

    def skin(self, value: Float[np.ndarray, "10 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the atlas's color at the places that stand in the skin's columns."""
        return atlas_colors(self.atlas, *value[SKIN][:2]) * self.tone[:, None]


def atlas_colors(
    atlas: UInt8[np.ndarray, "h w 3"], columns: Float[np.ndarray, " n"], rows: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "3 n"]:
    """Return linear colors of an atlas between its pixels, whose centers lie at integers."""
    padding = (0, _REMAPPED_ROW - len(rows) % _REMAPPED_ROW)
    across, down = (np.pad(at.astype(np.float32), padding).reshape(-1, _REMAPPED_ROW) for at in (columns, rows))
    colors: np.ndarray = cv2.remap(atlas, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return LINEAR[colors.reshape(-1, 3)[: len(rows)]].T


def make_photo_subject(rng: np.random.Generator) -> tuple[Subject, AtlasAndTone]:
    """Return a random person, of two skins mixed."""
    places = np.column_stack([atlas_places_px(), load_hand().nail])
    subject = Subject(sample_shape(rng), places.astype(np.float32), rng.uniform(0.03, 0.16))
    first, second = (skin_atlas(skin_names()[k]) for k in rng.integers(len(skin_names()), size=2))
    share = rng.random() if rng.random() < 0.5 else 0.0
    atlas = _with_depth(cv2.addWeighted(first, 1 - share, second, share, 0), rng.uniform(0, 1.6))
    tone = np.exp(rng.normal(0, 0.16) + rng.normal(0, 0.05, 3))
    return subject, (atlas, tone.astype(np.float32))


def _with_depth(atlas: UInt8[np.ndarray, "h w 3"], depth: float) -> UInt8[np.ndarray, "h w 3"]:
    """Return the skin with creases, knuckles and spots deeper by a factor."""
    return cv2.addWeighted(atlas, 1 + depth, cv2.GaussianBlur(atlas, (0, 0), _CREASE_PX), -depth, 0)


def sample_photo_look(
    split: str, size: int, skin: AtlasAndTone, print_rng: np.random.Generator | None, rng: np.random.Generator
) -> PhotoLook:
    """Draw light, background and camera of one picture.

    Args:
        split: whose environments are taken.
        size: of the picture.
        skin: of the person.
        print_rng: the random stream of the object's print; None: there is no object.
        rng: draws all the rest.
    """
    name = _environment(split, rng)
    light, turn = environment_light(name), _camera(rng)
    level, balance = np.exp(rng.normal(0, 0.3)), _white_balance(light)
    backdrop, gap_m = _backdrop(name, turn, size, rng)
    return PhotoLook(
        to_light=light.turned(turn.T),
        light=_tempered(light.key * balance * level),
        backdrop=backdrop * np.float32(np.exp(rng.normal(0, 0.25))),
        backdrop_gap_m=gap_m,
        print_=print_image(print_rng) if print_rng else np.zeros((1, 1, 3), np.float32),
        print_gloss=float(print_rng.choice([0.02, 0.1, 0.5])) if print_rng else 0.0,
        sleeve_color=np.zeros(3, np.float32),
        sleeve_start_m=NO_SLEEVE_M,  # sleeves are props
        exposure=rng.uniform(0.8, 1.25),
        noise=rng.uniform(0.0, 0.018),
        blur_px=rng.choice([0.0, 0.4, 0.7]) * size / 256,
        shadow_blur_px=rng.uniform(1.0, 4.0) * size / 256,
        harmonics=_tempered(light.harmonics * (balance * level)[:, None]),
        world_from_camera=turn.astype(np.float32),
        atlas=with_patches(skin[0], rng),
        tone=skin[1],
    )


def _environment(split: str, rng: np.random.Generator) -> str:
    names = environment_names()
    held_out = {number for numbers in HELD_OUT_ENVIRONMENTS.values() for number in numbers}
    numbers = HELD_OUT_ENVIRONMENTS.get(split) or [k for k in range(len(names)) if k not in held_out]
    return names[numbers[rng.integers(len(numbers))]]


def _camera(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return world from camera: any direction around, mostly level, at times tilted far or held sideways."""
    yaw, pitch = rng.uniform(0, 2 * np.pi), np.clip(rng.normal(-0.15, 0.4), -1.3, 1.0)
    roll = rng.normal(0, 0.12) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
    turns = (np.array([0, yaw, 0]), np.array([pitch, 0, 0]), np.array([0, 0, roll]))
    around, tilt, held = (axis_angle_to_matrix(turn) for turn in turns)
    return around @ tilt @ held


def _white_balance(light: EnvironmentLight) -> Float[np.ndarray, " 3"]:
    """Return factors on R, G, B that take out most of the light's color, as cameras do."""
    white = light.harmonics[:, 0] * 0.282095 + light.key / 4
    return (white.mean() / white) ** 0.85


def _tempered(colors: Float[np.ndarray, "3 *n"]) -> Float[np.ndarray, "3 *n"]:
    """Return light of half its saturation: what is left after white balance turns skin orange where cameras don't."""
    return (0.5 * (colors + colors.mean(0))).astype(np.float32)


def _backdrop(
    name: str, world_from_camera: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "s s 3"], float | None]:
    """Return the background and how far behind the scene it is, if that is a wall."""
    kind = rng.choice(3, p=[0.76, 0.14, 0.1])
    if kind == 1:
        return background(rng, size), rng.uniform(0.03, 0.5)
    if kind == 2:
        return _plain(size, rng), rng.uniform(0.03, 0.5)
    picture = panorama_view(name, world_from_camera, rng.uniform(0.35, 1.1), size)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4.0) * size / 256)
    return picture, rng.uniform(0.02, 0.4) if rng.random() < 0.3 else None


def _plain(size: int, rng: np.random.Generator) -> Float[np.ndarray, "s s 3"]:
    """Return a wall or cloth of one color, often white, brighter to one side."""
    color = palette(rng, 1)[0] ** 2.2 if rng.random() < 0.5 else np.full(3, rng.uniform(0.3, 0.95))
    angle, ramp = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, size)
    slope = 1 + rng.uniform(0, 0.4) * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
    return (slope[..., None] * color).astype(np.float32)

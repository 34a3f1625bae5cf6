"""Everything about a picture that is not geometry: light, colours, backdrop, camera."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.backgrounds import background, palette, print_image
from input_pipeline.synthetic.stage import REST, SKIN

NO_SLEEVE_M = -1.0
"""Where a sleeve begins that there is none of: behind the arm's end."""


@dataclasses.dataclass(frozen=True)
class Look(abc.ABC):
    """How a scene is lit and photographed."""

    to_light: Float[np.ndarray, " 3"]
    light: Float[np.ndarray, " 3"]
    backdrop: Float[np.ndarray, "s s 3"]
    backdrop_gap_m: float | None  # from the scene to the wall that its shadow falls on; None: there is none
    print_: Float[np.ndarray, "p p 3"]
    print_gloss: float
    sleeve_color: Float[np.ndarray, " 3"]
    sleeve_start_m: float  # rest y where the sleeve begins; see NO_SLEEVE_M
    exposure: float
    noise: float
    blur_px: float
    shadow_blur_px: float

    @abc.abstractmethod
    def ambient(self, normal: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the light on surfaces with these normals (in the camera's frame), the dominant one apart."""

    @abc.abstractmethod
    def skin(self, value: Float[np.ndarray, "10 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the reflectance of skin with these attributes (columns of a stage's)."""


@dataclasses.dataclass(frozen=True)
class StudioLook(Look):
    """One light, a sky and a ground; skin is colored vertex by vertex."""

    sky: Float[np.ndarray, " 3"]
    ground: Float[np.ndarray, " 3"]

    def ambient(self, normal: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the light of sky and ground."""
        up = (1 - normal[1]) / 2
        return up * self.sky[:, None] + (1 - up) * self.ground[:, None]

    def skin(self, value: Float[np.ndarray, "10 n"]) -> Float[np.ndarray, "3 n"]:
        """Return the vertices' color with fine mottling."""
        rest = value[REST]
        return value[SKIN] * (1 + 0.012 * np.sin(rest * 1900.0).sum(0) * np.sin(rest * 1130.0).sum(0))


def sample_look(size: int, print_rng: np.random.Generator, rng: np.random.Generator) -> StudioLook:
    """Draw light, colors and camera of one picture; the print comes from the object's own random stream."""
    direction = rng.normal(size=3) + [0, -0.8, -1.4]  # mostly from above, on the camera's side
    warmth = rng.normal(0, 0.12)
    light = np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.6, 1.5)
    sky = np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth]) * rng.uniform(0.25, 0.7)
    return StudioLook(
        to_light=(direction / np.linalg.norm(direction)).astype(np.float32),
        light=light.astype(np.float32),
        sky=sky.astype(np.float32),
        ground=(sky * rng.uniform(0.3, 0.9) * (0.7 + 0.3 * palette(rng, 1)[0])).astype(np.float32),
        backdrop=background(rng, size),
        backdrop_gap_m=rng.uniform(0.03, 0.5),
        print_=print_image(print_rng),
        print_gloss=float(print_rng.choice([0.02, 0.1, 0.5])),
        sleeve_color=(palette(rng, 1)[0] ** 2.2).astype(np.float32),
        sleeve_start_m=-rng.uniform(0.035, 0.12) if rng.random() < 0.6 else NO_SLEEVE_M,
        exposure=rng.uniform(0.75, 1.35),
        noise=rng.uniform(0.0, 0.018),
        blur_px=rng.choice([0.0, 0.4, 0.7]) * size / 256,
        shadow_blur_px=rng.uniform(1.0, 4.0) * size / 256,
    )

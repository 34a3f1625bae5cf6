"""Where the network's square lies in the photo, and the pixels in it.

Pixel centres lie at integers, in the photo and in the crop: an image of width w spans -0.5 to w - 0.5.
"""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.augment import NONE, Augmentation
from occrobnet_jax.geometry.cameras import compose_affine, invert_affine, transform_points

AVERAGE_BELOW = 0.75  # crop px per photo px; bilinear sampling alone would begin to skip pixels
BLUR_SIGMA_PX = 0.6  # weighs three photo px by 1/6, 4/6, 1/6
REDUCTIONS = (8, 4, 2, 1)  # at which JPEG decoders make a photo smaller, in less time than at full size


@dataclasses.dataclass(frozen=True)
class CropGeometry:
    """A crop of `size_px` x `size_px`."""

    size_px: int
    crop_from_image: Float[np.ndarray, "2 3"]  # px of the photo to px of the crop
    scale: float  # crop px per photo px
    turn: Float[np.ndarray, "2 2"]  # what it does to the camera's x and y axes: rotation, mirror
    is_mirrored: bool


def crop_geometry(
    box_px: Float[np.ndarray, "4"],
    size_px: int,
    box_scale: float,
    augmentation: Augmentation = NONE,
    center_px: float | None = None,
) -> CropGeometry:
    """Return the square around a box (x0, y0, x1, y1): its long side times `box_scale`, about its centre, then
    augmented.

    The box's centre comes to lie at `center_px` of the crop, by default in the middle of its pixels.

    Raises:
        ValueError: the box isn't finite or has no extent.
    """
    x0, y0, x1, y1 = (float(value) for value in box_px)
    if not (math.isfinite(x0 + y0 + x1 + y1) and x1 >= x0 and y1 >= y0 and max(x1 - x0, y1 - y0) > 0):
        raise ValueError(f"the box {[x0, y0, x1, y1]} is not x0, y0, x1, y1 of a box with an extent")
    side = max(x1 - x0, y1 - y0) * box_scale
    center = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + side * np.array(augmentation.shift)
    cosine, sine = math.cos(augmentation.rotation_rad), math.sin(augmentation.rotation_rad)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    if augmentation.flip:
        turn = np.diag([-1.0, 1.0]) @ turn  # the crop's centre stays where it is: u' = size - 1 - u
    scale = size_px / (side * augmentation.scale)
    shift = ((size_px - 1) / 2 if center_px is None else center_px) - scale * turn @ center
    return CropGeometry(size_px, np.column_stack([scale * turn, shift]), scale, turn, augmentation.flip)


def reduction_for(geometry: CropGeometry) -> int:
    """Return how many times smaller the photo may be decoded so that the crop still has no more pixels than it."""
    return next(factor for factor in REDUCTIONS if factor == 1 or geometry.scale * factor <= 1)


def crop_image(
    image: UInt8[np.ndarray, "h w 3"], geometry: CropGeometry, *, averaging: bool = True, reduction: int = 1
) -> UInt8[np.ndarray, "size size 3"]:
    """Return the pixels in the crop, bilinear, zeros outside the photo; averaged where the crop is much smaller.

    Args:
        image: the photo, or what it became when it was decoded `reduction` times smaller.
        geometry: of the crop in the whole photo.
        averaging: False samples alone.
        reduction: each pixel of `image` covers so many of the photo's, in either direction.
    """
    if reduction > 1:
        geometry = _in_reduced(geometry, reduction)
    size, matrix = geometry.size_px, geometry.crop_from_image
    if averaging and AVERAGE_BELOW > geometry.scale > AVERAGE_BELOW / 2:
        image = cv2.GaussianBlur(image, (3, 3), BLUR_SIGMA_PX)
    if averaging and geometry.scale <= AVERAGE_BELOW / 2:
        image, matrix = _reduce(image, geometry)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _in_reduced(geometry: CropGeometry, reduction: int) -> CropGeometry:
    """Return the same crop of a photo of which each `reduction` x `reduction` pixels became one."""
    image_from_reduced = _resized((1, 1), (reduction, reduction))
    return dataclasses.replace(
        geometry,
        crop_from_image=compose_affine(geometry.crop_from_image, image_from_reduced),
        scale=geometry.scale * reduction,
    )


def crop_segmentation(
    segmentation: UInt8[np.ndarray, "h w"], image_size_px: tuple[int, int], geometry: CropGeometry, stride: int
) -> UInt8[np.ndarray, "hh ww"]:
    """Return labels at crop pixels 0, stride, 2 stride, ...: heatmap coordinates are crop px / stride.

    Args:
        segmentation: labels; may be stored at another resolution than the photo.
        image_size_px: (width, height) of the photo.
        geometry: where the crop lies in the photo.
        stride: crop px per heatmap px.
    """
    image_from_labels = invert_affine(_resized(image_size_px, (segmentation.shape[1], segmentation.shape[0])))
    crop_from_labels = compose_affine(geometry.crop_from_image, image_from_labels)
    size = (geometry.size_px // stride, geometry.size_px // stride)
    return cv2.warpAffine(segmentation, crop_from_labels / stride, size, flags=cv2.INTER_NEAREST)


def _reduce(image: np.ndarray, geometry: CropGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of the photo that the crop shows, averaged to the crop's resolution, and where it lies in the
    crop.
    """
    height, width = image.shape[:2]
    edge = geometry.size_px - 0.5
    corners = np.array([[-0.5, -0.5], [edge, -0.5], [-0.5, edge], [edge, edge]])
    shown = transform_points(invert_affine(geometry.crop_from_image), corners)
    # A margin of a few crop pixels, so that the part's own border has no influence.
    margin = 2 / geometry.scale
    x0, y0 = np.clip(np.floor(shown.min(0) - margin), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(shown.max(0) + margin) + 1, (x0 + 1, y0 + 1), (width, height)).astype(int)
    part_size = (int(x1 - x0), int(y1 - y0))
    small_size = (max(1, round(part_size[0] * geometry.scale)), max(1, round(part_size[1] * geometry.scale)))
    small = cv2.resize(image[y0:y1, x0:x1], small_size, interpolation=cv2.INTER_AREA)
    part_from_image = np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0]])
    small_from_image = compose_affine(_resized(part_size, small_size), part_from_image)
    return small, compose_affine(geometry.crop_from_image, invert_affine(small_from_image))


def _resized(size: tuple[int, int], new_size: tuple[int, int]) -> Float[np.ndarray, "2 3"]:
    """Return the affine map of pixel coordinates when an image of (width, height) `size` is resized: corners stay
    corners.
    """
    factors = np.array(new_size) / np.array(size)
    return np.column_stack([np.diag(factors), factors * 0.5 - 0.5])

"""OccRobNet in JAX: 3D pose of two interacting hands and the object they hold, from one RGB image."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Give `load_predictor`, whose module imports JAX, only to those who ask for it."""
    if name == "load_predictor":
        from occrobnet_jax.inference.predictor import load_predictor

        return load_predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

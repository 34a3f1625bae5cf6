"""OccRobNet in JAX: 3D pose of two interacting hands and the object they hold, from one RGB image."""

__version__ = "0.1.0"

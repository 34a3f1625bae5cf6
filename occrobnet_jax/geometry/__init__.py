"""Cameras, rotations, alignment and hands, for NumPy and jnp arrays alike."""

"""From downloads to batches, in NumPy: nothing here imports jax."""

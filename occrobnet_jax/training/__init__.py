"""Training: losses, optimiser, state, step, checkpoints, and the record that a run leaves."""

"""Studies: what is trained with which settings and seeds, for python -m tools.ablate."""

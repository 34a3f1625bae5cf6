"""How fast the project is, beside PyTorch doing the same: `make bench`. See docs/performance.md."""

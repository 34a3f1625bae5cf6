"""Safe reading of anything from outside, and writing that leaves no half-written file."""

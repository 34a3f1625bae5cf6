"""Conventions of single benchmarks, one file each."""

"""Overlays, curves and the offline page with rotatable 3D, for reports, predictions and training logs."""

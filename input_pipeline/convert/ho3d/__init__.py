"""HO-3D and H2O-3D, which share file formats and labels."""

"""Hands that can be posed: linear blend skinning, the embedded hand and MANO's files."""

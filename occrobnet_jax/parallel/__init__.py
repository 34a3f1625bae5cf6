"""How work is spread: hosts (processes), the mesh of devices, and the rules that place arrays on it."""

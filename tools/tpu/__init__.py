"""What a program compiled for a TPU takes: read from its text, and bounds from published peaks."""

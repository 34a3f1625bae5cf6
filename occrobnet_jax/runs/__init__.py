"""What a run is, for training, evaluation and inference alike: its choices, its state, its files."""

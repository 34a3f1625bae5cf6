"""Raw downloads to shards: a source for each dataset, and what writes and checks its records."""

"""Which files make a model: where they are, their sizes, their weights."""

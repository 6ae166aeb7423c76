"""The files of a model: finding them, their sizes, loading their weights."""

"""A small model with hand-made weights that talks and pauses by itself: tests and benchmarks."""

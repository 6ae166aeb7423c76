"""Benchmarks at their smallest size: they end, and print what they promise."""

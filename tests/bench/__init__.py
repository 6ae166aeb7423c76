"""Benchmarks at their smallest size: they end and print their table."""

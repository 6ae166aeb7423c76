"""Triton kernels of a step. Imported where they run alone: not every machine has Triton."""

"""Tests of worker/engine/files."""

"""Tests of worker/sound."""

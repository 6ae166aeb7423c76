"""Tests of worker/engine/network."""

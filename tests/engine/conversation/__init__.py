"""Tests of worker/engine/conversation."""

"""Tests of worker/room."""

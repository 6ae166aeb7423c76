"""Tests of worker/hearing."""

"""Tests of worker/recording."""

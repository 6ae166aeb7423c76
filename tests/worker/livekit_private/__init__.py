"""Tests of worker/livekit_private."""

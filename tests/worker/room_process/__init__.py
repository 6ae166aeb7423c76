"""Tests of worker/room_process."""

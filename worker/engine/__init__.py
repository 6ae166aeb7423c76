"""Frames in, frames and tokens out. Knows no room and no LiveKit."""

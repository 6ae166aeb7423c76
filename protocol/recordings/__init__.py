"""Recordings of sessions: their names, and the folder or bucket that they are stored in."""

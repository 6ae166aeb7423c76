"""Recording: the sound and words of rooms, written to files as they come. Knows no LiveKit."""

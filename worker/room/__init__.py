"""The host of one room: its personas, the floor, transcripts and typed lines."""

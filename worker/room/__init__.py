"""The host of one room: its personas, the floor, transcripts, typed lines and commands."""

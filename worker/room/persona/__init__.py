"""One persona in a room: its participant and slot, what it says and shows."""

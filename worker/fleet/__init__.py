"""A worker in its fleet: its state, free slots and rooms, and the commands that it takes."""

"""What a room is to have and has: specs in redis, dispatches, moves, events."""

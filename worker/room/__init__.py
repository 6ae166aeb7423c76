"""One job hosts one room: its people and personas, the floor, words and typed lines."""

"""How a worker shows itself in its fleet."""

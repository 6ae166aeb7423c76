"""What fits on this machine: its GPU, the model, the model's sizes, sessions."""

"""What people say: a second batch beside the personas', a row for each person (Kyutai STT)."""

"""Recognition of people's speech (Kyutai STT): a second batch, a row for each person."""

"""Sound between LiveKit and the engine: a person's track in, a persona's voice out."""

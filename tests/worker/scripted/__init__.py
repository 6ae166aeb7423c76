"""A worker whose model follows a schedule: with random weights, chance says who speaks."""

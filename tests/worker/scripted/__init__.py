"""A worker whose model follows a schedule: random weights prove nothing about the floor."""

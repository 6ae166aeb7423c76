"""When a step begins, how long it takes, and that it ends."""

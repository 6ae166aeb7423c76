"""`make run`: the processes, their order, their restarts and their end."""

"""`make run`: which processes start, in which order, and who restarts or ends them."""

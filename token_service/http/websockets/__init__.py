"""WebSockets of clients: admitted here, and passed on to a worker."""

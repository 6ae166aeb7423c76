"""The HTTP routes and the bodies they read. `sessions`, `rooms` and `auth` decide."""

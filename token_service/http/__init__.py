"""The HTTP routes and the bodies they read. Decisions are made in `sessions`, `rooms` and `auth`."""

"""WebSockets that token services pass on: Moshi's protocol, and the plain audio of a room."""

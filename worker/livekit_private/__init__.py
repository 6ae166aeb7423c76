"""Everything that reaches into private parts of LiveKit's Python SDK, pinned to its version."""

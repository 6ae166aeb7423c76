"""What callers do with sessions: open, view, command, listen to, read their recordings."""

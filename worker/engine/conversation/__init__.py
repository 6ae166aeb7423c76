"""What each session is told, says and remembers: prompts, forced text, renewal, voices."""

"""The state of conversations: prompts, forced tokens, renewal, voices."""

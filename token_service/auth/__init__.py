"""Who calls and what each caller may do: keys, users, guest links, rate limits, grants."""

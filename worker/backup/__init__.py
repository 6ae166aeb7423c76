"""A session's backup: its latest columns in redis, from which the next host makes its memory."""

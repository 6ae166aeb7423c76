"""How processes of ours reach redis, and what its memory settings must be."""

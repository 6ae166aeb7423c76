"""`python -m bench.cluster`: one token service, redis and LiveKit, and many simulated workers."""

"""Rooms in processes of their own, beside the process of the engine."""

"""What all workers together offer: heartbeats, slots and their reservations, limits."""

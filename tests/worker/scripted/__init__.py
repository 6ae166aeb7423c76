"""A worker whose model does as a schedule says: random weights prove nothing about the floor."""

"""Records that redis keeps: how they are read, also those of another version. Pure."""

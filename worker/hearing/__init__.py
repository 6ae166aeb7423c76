"""From a person's sound to the words. Knows no room and no LiveKit connection."""

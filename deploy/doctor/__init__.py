"""`make doctor`: what this machine has and lacks. Looks, and changes nothing."""

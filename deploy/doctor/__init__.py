"""`make doctor`: checks of this machine. They change nothing."""

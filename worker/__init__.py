"""The GPU process: joins rooms as agent participants and runs the model."""

"""What to train, what to keep, what to compute again: looks for better ways and is given the pipeline as functions."""

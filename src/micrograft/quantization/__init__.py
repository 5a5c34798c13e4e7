"""Float networks to int8: ranges of activations, the grids of weights, what it costs, and training for it."""

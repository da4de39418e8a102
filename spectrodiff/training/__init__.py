"""Training: settings, objectives, optimisers, the pure step, checkpoints, and the loop."""

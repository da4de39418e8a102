"""Training: settings, tasks, optimisers, the pure step, checkpoints, and the loop."""

"""Training: settings, tasks, optimizers, the pure step, checkpoints, and the loop."""

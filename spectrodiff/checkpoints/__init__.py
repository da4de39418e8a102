"""Weights: our own layout, the three released ones, and where to get them."""

from spectrodiff.checkpoints.layouts.store import load_model, save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import expected_shapes

__all__ = ["Checkpoint", "expected_shapes", "load_model", "open_checkpoint", "save_model"]

"""Seeded composition of synthetic music for training."""

"""Metrics: embeddings, distances, transcription, and their uncertainty."""

"""Embeddings of audio, whose distances score renderings."""

"""Frechet audio distance of two folders of audio, without corpora, songs or models."""

"""Notes, instruments and their tokenization."""

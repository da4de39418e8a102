"""Audio files, log-mel features, loudness, and pictures of spectrograms."""

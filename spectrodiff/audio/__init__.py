"""Audio files, their features, and pictures of them."""

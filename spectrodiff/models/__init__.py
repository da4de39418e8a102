"""Networks and their sizes."""

"""Downloads of published models: what is published where, transfer, checks, and their cache."""

"""Generators, which turn features into audio, and the discriminators that train them."""

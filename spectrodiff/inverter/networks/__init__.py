"""Networks that turn features into audio, and the discriminators that train them."""

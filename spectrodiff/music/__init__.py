"""Notes and instruments, and the tokens that stand for them."""

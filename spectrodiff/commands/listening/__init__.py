"""Commands for listeners: a blind listening test, and the count of its answers."""

"""The parts of listen.py: what is played, how it is rendered, and how it is measured."""

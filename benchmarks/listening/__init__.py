"""Parts of listen.py: songs, rendering and measures."""

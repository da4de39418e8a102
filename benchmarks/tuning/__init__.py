"""Parts of benchmarks/fine_tuning.py: recordings of an instrument, and distances to them."""

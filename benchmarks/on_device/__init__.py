"""Parts of benchmarks/accelerator.py."""

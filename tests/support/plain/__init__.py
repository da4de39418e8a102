"""The system written out in plain NumPy and float64, to check the golden files.

Nothing here imports the package that is tested, and nothing is fast.
"""

"""Export of published PyTorch embeddings to ONNX files, with PyTorch and the original packages.

Nothing here is imported unless an embedding is exported: the packages are not needed otherwise.
"""

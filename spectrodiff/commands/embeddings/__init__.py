"""Commands about embeddings of audio: their distances, and their export to ONNX."""

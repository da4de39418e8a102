"""How much a rendering sounds like the recording: embeddings, distances, transcription scores."""

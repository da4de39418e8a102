"""Training data: corpora of recordings with their notes, composed and rendered music, batches."""

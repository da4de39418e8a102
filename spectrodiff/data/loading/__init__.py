"""Examples cut from prepared recordings, mixed and batched."""

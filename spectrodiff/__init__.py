"""spectrodiff: notes turned into sound by a spectrogram diffusion model."""

__version__ = "0.1.0"

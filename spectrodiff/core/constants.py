"""Sample rate, frame rate and sizes common to all released models."""

import math
from typing import Literal

SAMPLE_RATE = 16_000  # Hz
HOP_SAMPLES = 320
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
NUM_MELS = 128
SEGMENT_FRAMES = 256
SEGMENT_SAMPLES = SEGMENT_FRAMES * HOP_SAMPLES
SEGMENT_SECONDS = SEGMENT_SAMPLES / SAMPLE_RATE

# Frames computed past the end of a segment and then dropped. Without them the segment's last frames
# would contain zero padding, which is audible as a pop after inversion.
EXTRA_FRAMES = 16

# Types in which the parameters of a model can be stored.
StoredType = Literal["float32", "float16", "bfloat16"]

MIN_LOG_MEL = math.log(1e-5)
MAX_LOG_MEL = 4.0

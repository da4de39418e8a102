"""Rates and sizes that the released models share."""

import math

SAMPLE_RATE = 16_000  # Hz
HOP_SAMPLES = 320
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
NUM_MELS = 128
SEGMENT_FRAMES = 256
SEGMENT_SAMPLES = SEGMENT_FRAMES * HOP_SAMPLES
SEGMENT_SECONDS = SEGMENT_SAMPLES / SAMPLE_RATE

# A segment cut from longer audio is encoded with this much of what follows it, which is then
# dropped: otherwise its last frames would hold zero padding, heard as a pop once they are inverted.
EXTRA_FRAMES = 16

MIN_LOG_MEL = math.log(1e-5)
MAX_LOG_MEL = 4.0

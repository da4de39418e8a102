"""Reader of TensorBoard's event files."""

import struct


def read_events(path):
    """Yields the events of a file: each lies between its length and checksums."""
    from tensorboardX.proto.event_pb2 import Event

    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]

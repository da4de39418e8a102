"""File formats that are read here, piece by piece, since their libraries set no limits."""

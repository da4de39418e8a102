"""Files of a command line: songs and audio that are read, and names of what is written."""

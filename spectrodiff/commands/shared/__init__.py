"""Parts of commands: flags, gin files, and songs of a command line."""

"""Runs a command: python -m spectrodiff COMMAND."""

from spectrodiff.commands.program import spectrodiff

if __name__ == "__main__":
    spectrodiff()

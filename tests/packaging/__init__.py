"""Tests of what is installed: the wheel, the requirements and the container."""

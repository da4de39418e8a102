"""Shared foundations: constants, errors, files, settings, devices and processes."""

"""What every room needs: errors, files, settings, devices, and processes."""

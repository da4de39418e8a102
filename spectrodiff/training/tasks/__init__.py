"""Tasks: what a run can train, one file each."""

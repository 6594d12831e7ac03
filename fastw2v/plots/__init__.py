"""Pictures, the only place of matplotlib."""

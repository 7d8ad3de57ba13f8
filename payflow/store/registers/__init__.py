"""Lists that stand beside the records."""

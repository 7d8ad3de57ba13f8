"""The finding: a difference between what our books say and what a rail says."""

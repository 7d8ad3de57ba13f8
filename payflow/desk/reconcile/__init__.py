"""Comparing our books with what rails and lanes say."""

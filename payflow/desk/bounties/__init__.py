"""Bounties: what people and GitHub may do with them, and what is shown of them."""

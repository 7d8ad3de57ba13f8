"""Ethereum and its likes: nodes that are read and written to, signers, and the contract that pays many."""

"""Contracts of our own: their sources, and what the compiler made of them."""

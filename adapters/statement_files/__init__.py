"""Statements that come as files, for rails that have no other way to say what they did."""

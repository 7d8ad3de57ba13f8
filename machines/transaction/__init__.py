"""Transactions of a lane: payments wait, transactions carry them, the lane signs one nonce after the other."""

"""Paystack: transfers, the second gateway behind the same port."""

"""Flutterwave: transfers over API v3 and v4, the enquiries around them, and its webhooks."""

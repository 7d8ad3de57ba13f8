"""A simulated Flutterwave: API v3 and v4 over one inside, webhooks, and a desk to steer it from."""

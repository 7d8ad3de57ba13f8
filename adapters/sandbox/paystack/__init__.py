"""A simulated Paystack: recipients, transfers, look-ups, webhooks."""

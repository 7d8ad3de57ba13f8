"""GitHub: deliveries that it makes, and the client of a GitHub App."""

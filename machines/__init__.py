"""What Payflow knows: machines as tables and pure functions. No I/O here."""

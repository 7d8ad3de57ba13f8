"""The simulated world's stage."""

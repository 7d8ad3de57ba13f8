"""What any page or endpoint needs."""

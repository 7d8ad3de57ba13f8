"""What people may do with a mining pool."""

"""A provider asks for money; rules or people approve it; a rail pays it."""

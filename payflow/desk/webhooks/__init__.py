"""Where platforms listen, and how each event gets there."""

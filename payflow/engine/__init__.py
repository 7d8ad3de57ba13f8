"""The engine: runs any lifecycle. It knows no machine."""

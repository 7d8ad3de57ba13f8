"""What is looked at before money moves: settings, store and chains, those outside, a gateway's test mode."""

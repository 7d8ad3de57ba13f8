"""A mining pool's own Redis, configuration file and node, exactly as open-ethereum-pool and its forks have them."""

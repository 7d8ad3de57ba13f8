"""A local chain: anvil where there is one, else an Ethereum inside a process of ours."""

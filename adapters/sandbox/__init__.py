"""The outside world, simulated: real servers on loopback that the real adapters talk to. They import no adapter."""

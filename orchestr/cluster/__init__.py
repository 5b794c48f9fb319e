"""The hosts of an inventory as a swarm."""

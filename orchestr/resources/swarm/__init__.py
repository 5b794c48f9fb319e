"""Swarm membership, nodes and stacks."""

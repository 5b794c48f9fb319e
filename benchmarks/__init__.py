"""Benchmarks: orchestr beside the floor, on the lab's nodes, in one run."""

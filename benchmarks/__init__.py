"""Benchmarks: orchestr beside the floor and its peers, on the lab's nodes, in one run. `make bench`."""

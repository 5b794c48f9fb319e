"""Hosts to try every kind of resource on; one module a family, each with its WORLD."""

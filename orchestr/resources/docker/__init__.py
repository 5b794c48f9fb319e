"""The Docker engine, and images on it."""

"""Applications: services and data described once, every verb derived from it."""

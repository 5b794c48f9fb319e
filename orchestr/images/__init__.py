"""Container images read layer by layer, to be pushed over SSH."""

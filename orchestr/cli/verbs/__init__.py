"""One module per verb; its ``command`` is the verb."""

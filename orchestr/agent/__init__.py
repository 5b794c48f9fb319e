"""The agent that travels to a host: standard library only, Python 3.8 syntax, imported there from memory."""

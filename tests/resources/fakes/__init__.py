"""Stateful stand-ins for tools, smallest that behave as the real ones' recorded output; see also ``*_double.py``."""

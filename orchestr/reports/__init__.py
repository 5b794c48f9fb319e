"""Consumers of events. Nothing else in orchestr prints, but the command line's own messages."""

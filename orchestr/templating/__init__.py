"""Jinja expressions and template files, with secrets tracked through both."""

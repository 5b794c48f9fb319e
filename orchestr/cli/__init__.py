"""The command line: one small function per verb (``orchestr/cli/verbs``), no logic; the library does the work."""

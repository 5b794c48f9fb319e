"""The command line: one small function per verb (``orchestr/cli/verbs``), no logic; what it does, the library does."""

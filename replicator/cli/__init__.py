"""The commands beside those of ``cli``: one module for each kind of work, each with its ``commands``."""

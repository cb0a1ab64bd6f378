"""Hints: what systems say by themselves, that something changed in them. They bring a read forward and do nothing else."""

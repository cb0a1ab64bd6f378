"""Hints: systems say by themselves that something changed in them. It brings a read forward, and does nothing else."""

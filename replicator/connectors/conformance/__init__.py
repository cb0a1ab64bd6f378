"""What a connector has to do, as tests that its author runs: ``subject`` is to be filled in, ``suite`` runs over it.

Needs pytest, which the program itself does not.
"""

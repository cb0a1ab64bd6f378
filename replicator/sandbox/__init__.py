"""The two systems simulated over HTTP, to try and to test against; what they hold is described in data files here."""

"""Plans: every write that would be made, found by rehearsing the work; saved, and run exactly as saved."""

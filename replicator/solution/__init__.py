"""A solution in a hub: the triggers, functions and views that its schema/ says, and the migration that makes them."""

"""The objects of a hub that schema/ says: triggers, functions and views; and the migration that makes them."""

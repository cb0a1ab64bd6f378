"""Reads ``schema/``, validates it and compiles it to tables, views, triggers, marks and dependency ranks."""

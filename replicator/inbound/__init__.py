"""Inbound: snapshot, stage, merge. Reads a system, writes its mirrors, and from them the common tables."""

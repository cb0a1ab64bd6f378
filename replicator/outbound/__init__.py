"""Outbound: claim, apply, acknowledge. Brings a system to what common says it should hold, parents before children."""

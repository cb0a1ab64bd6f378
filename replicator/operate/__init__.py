"""What people ask of a hub at work, and decide: plans, reconciliation, preflight, metrics, notifications."""

"""What inbound and outbound share: marks, verdicts, the diff, outcomes and writing mirrors."""

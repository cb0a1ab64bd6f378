"""The web console: what schema ``sync`` shows, as pages; and what people decide, as calls of its functions."""

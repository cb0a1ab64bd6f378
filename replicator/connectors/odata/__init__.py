"""What the connectors of OData systems share: HTTP, credentials, addresses, batches, and values on the wire."""

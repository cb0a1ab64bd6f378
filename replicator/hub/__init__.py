"""The hub's database: connections, the embedded server, migrations, generated objects and the changefeed."""

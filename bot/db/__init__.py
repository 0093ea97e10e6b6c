"""The database: opening it, its tables, migrations, the lease, and what every store shares."""

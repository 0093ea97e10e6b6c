"""The database: opening it, its tables, migrations, the lease, and what every store shares.

Stores are synchronous; asynchronous callers run them in a thread.
"""

"""Events of the ledger from OTLP bodies (traces, metrics, logs). Nothing here opens a socket or a file."""

"""OTLP bodies (traces, metrics, logs) → events of the ledger. Nothing here opens a socket or a file."""

"""The life of an alert and the outbox that delivers its notices."""

"""What a day, a week or a month came to, posted to a channel once; or shown to whoever asks."""

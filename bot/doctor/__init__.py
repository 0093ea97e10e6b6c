"""What `doctor` examines: configuration, credentials, scopes, the age of data, targets and the clock."""

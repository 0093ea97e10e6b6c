"""Settings from the environment and the TOML file."""

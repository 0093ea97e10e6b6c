"""One module per subcommand of `claude-cost`."""

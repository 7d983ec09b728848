"""The command `temper`."""

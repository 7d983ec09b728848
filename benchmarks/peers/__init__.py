"""Other projects that do the same work, each in an environment of its own beside this one's libraries."""

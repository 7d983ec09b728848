"""DVC's cache and what it remembers of files: read before it is trusted, for this user alone."""

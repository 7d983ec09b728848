"""What settings name: entries of a registry, paths that stay in their folders, and functions of the user's own."""

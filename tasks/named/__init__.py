"""What settings name: paths that stay in their folders, and functions of the user's own."""

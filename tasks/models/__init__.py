"""Model folders: recorded, loaded, written, compared, and in the forms of others."""

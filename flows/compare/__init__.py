"""All runs that git and DVC keep, side by side: gathered, set into tables, written as one page."""

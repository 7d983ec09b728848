"""One run: its stages, what watches it, and how it treats their failures."""

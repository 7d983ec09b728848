"""params.yaml as a whole: its model, its form, and what changed in it."""

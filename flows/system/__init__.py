"""The machine below: git, processes, locks, resources."""

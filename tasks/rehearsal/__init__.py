"""What stages would say of the base once they run, tried beforehand: on its files, and on a small copy of it."""

"""What a run would do and what it needs, said before it starts."""

"""Whoever is asked: a server, or a model in this process; and the record of what they answered."""

"""Whoever answers: a server, a model in this process, or the grammar; and the record of what they answered."""

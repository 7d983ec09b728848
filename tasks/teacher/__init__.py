"""Clients of a teacher model, which runs on a server or in this process, and the store of its responses."""

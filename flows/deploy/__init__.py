"""Deployments and the events that start them."""

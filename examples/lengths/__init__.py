"""The stage `lengths`; stage.py declares it and does its work."""

"""The stage `evaluate`; stage.py declares it, run.py does its work."""

"""The stage `generate`; stage.py declares it, run.py does its work."""

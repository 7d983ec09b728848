"""The stage `export`; stage.py declares it, run.py does its work."""

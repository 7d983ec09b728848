"""The stage `template`; stage.py declares it, run.py does its work."""

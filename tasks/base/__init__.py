"""The stage `base`; stage.py declares it, run.py does its work."""

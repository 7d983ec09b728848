"""The stage `merge`; stage.py declares it, run.py does its work."""

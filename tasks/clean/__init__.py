"""The stage `clean`; stage.py declares it, run.py does its work."""

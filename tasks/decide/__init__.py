"""The stage `decide`; stage.py declares it, run.py does its work."""

"""Charts as SVG text, for the report and for Prefect's pages: the same bytes each time, and nothing heavy to import.

A plotting library would write its own fonts and colours into the picture; here a page's style sheet names them.
"""

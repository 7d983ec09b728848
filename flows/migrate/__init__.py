"""Settings of other tools as a recipe for this one, with a line for each of their keys: none is dropped in silence.

conversion = convert(Path("qlora.yml"))
conversion.recipe(), conversion.lines
"""

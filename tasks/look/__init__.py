"""A first look at data, in seconds: shape, columns, splits, lengths, labels, duplicates, and rows as they are trained.

    temper look DATA [--tokenizer DIR_OR_ID] [--page FILE]

Prints tables for a terminal; `--page` writes the same as one HTML file. Exit code 0 where some row can be used, 1 where
none can, 2 where there is nothing to look at.
"""

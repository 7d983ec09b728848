"""Projects beside others: made from a release, and brought to a newer one."""

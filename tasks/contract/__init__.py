"""What every stage shares: settings, paths, errors, files, ledgers and progress. Imports nothing heavy."""

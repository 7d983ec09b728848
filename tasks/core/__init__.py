"""What every stage stands on: settings, errors, files, places, ledgers, progress."""

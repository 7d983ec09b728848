"""What all pages of temper share: one style sheet, one head with a policy, data that cannot leave its block."""

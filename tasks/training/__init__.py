"""Training with trl and peft, for the stages that train."""

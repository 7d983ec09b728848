"""Episodes of several turns, in which the model calls tools or acts in an environment, for grpo and gmpo."""

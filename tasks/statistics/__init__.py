"""What chance may have done: intervals of scores, paired comparisons of two models on the same rows."""

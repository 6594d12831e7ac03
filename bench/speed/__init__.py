"""Speed of training and what bounds it."""

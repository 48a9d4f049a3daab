"""Where rendered scenes come from: robosuite tasks, table tops, Gymnasium's models."""

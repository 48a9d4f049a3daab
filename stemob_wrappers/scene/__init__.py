"""A MuJoCo scene's appearance: find it, change it, give it back, render it."""

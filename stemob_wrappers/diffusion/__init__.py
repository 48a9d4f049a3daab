"""Pure maths of partial inversion: noise schedules, noise draws, inversion methods."""

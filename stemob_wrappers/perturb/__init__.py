"""Changes of appearance for MuJoCo scenes and for pixels."""

"""Frames to learn from and to compare on: which scenes, drawn how, kept where."""

"""Imitation learning in little: scripted experts, demonstrations, two kinds of policies."""

"""Scripted experts, their demonstrations, and the policies that learn from them."""

"""The robustness table: policies trained in many ways, tested under visual change."""

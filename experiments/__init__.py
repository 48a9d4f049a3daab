"""What the published figures were made with: run from a checkout, not part of the package."""

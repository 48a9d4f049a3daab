"""Folders of images, and videos."""

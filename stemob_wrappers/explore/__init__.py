"""The explorer: a page in the browser that shows frames as stem frames while settings move."""

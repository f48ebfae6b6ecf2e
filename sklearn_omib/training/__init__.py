"""One loop that trains any number of networks side by side."""

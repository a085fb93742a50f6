"""Runs looked at in a browser, and their steers turned by hand: the page of `steerdsl view`."""

"""A service under mixed traffic, worker kills and scrapes, and the accounts of it: all must add up."""

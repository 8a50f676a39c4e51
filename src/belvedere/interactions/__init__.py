"""Interactions: who did what and how it was answered, one row of a database for each request."""

"""Scholarship API: find and search scholarships; the reference service for Belvedere."""

__version__ = "1.0.0"

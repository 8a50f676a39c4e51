"""What Belvedere costs the reference service: the same requests to it, with and without, on PostgreSQL, in one run."""

"""What the service does, apart from how it is called and where it is stored."""

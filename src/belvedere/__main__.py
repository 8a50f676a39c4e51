"""`python -m belvedere` is `belvedere`."""

from belvedere.cli import main

main()

"""`python -m photochrom`, where the command is not on the path."""

from photochrom import main

main()

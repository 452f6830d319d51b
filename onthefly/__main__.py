"""`python -m onthefly`: the command line."""

from onthefly.cli import main

main()

"""`python -m payflow` is `payflow`."""

from payflow.cli import main

main()

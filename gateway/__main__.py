"""``python -m gateway`` is the ``gateway`` command."""

from gateway.edge.cli import main

if __name__ == "__main__":
    main()

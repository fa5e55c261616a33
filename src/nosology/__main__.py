"""``python -m nosology`` is the ``nosology`` command."""

from nosology.cli.main import main

if __name__ == "__main__":
    main()

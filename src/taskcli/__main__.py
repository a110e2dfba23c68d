"""What `python -m taskcli` runs."""

from taskcli.main import main

if __name__ == "__main__":
    main()

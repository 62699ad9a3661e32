"""`python -m churnops`, and what `spark-submit` is given."""

from churnops.cli import main

if __name__ == "__main__":
    main()

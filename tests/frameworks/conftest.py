"""The scripts that tests start are theirs to import, not pytest's."""

collect_ignore_glob = ["work_*.py"]

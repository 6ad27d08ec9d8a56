"""WHICH networks: one file a paper, merged by the catalog."""

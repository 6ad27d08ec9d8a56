"""The designs of the papers: one file per paper, merged by the catalogue."""

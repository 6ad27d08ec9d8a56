"""Charts, tables and the page of a report, from the files of runs; the design page."""

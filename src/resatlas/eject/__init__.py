"""Export of a network as one readable Python file that needs only torch; the export itself does not need torch."""

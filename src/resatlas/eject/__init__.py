"""A network as one readable Python file that needs only torch; writing it needs none."""

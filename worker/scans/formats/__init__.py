"""What is particular to each file format."""

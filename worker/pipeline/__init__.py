"""What happens to one scan, from fetch to store."""

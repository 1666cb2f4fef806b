"""Small pictures of scans and outputs, made in a process under limits."""

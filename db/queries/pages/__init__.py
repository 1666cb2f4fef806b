"""What pages and the HTTP API list: a page at a time, from a cursor on: the last page costs what the first does."""

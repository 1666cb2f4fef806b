"""What people do: each a function that the command line, the pages and the HTTP API call alike.

Each notes in the audit rows who did it, in the same transaction.
"""

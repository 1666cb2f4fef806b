"""What people do. Each action is one function, which the command line, the pages and the HTTP API call.

Each one adds an audit row that says who did it, in the same transaction.
"""

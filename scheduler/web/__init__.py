"""`photochrom web`: the browser's pages and the HTTP API.

A separate process. It reads the job database and both stores, and changes jobs only by the functions of
scheduler/actions, like the command line. `app.create_app()` puts it together.
"""

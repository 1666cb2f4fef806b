"""`photochrom web`: the browser's pages and the HTTP API.

A process of its own that reads the job database and both stores, and changes jobs by the functions of
scheduler/actions alone, as the command line does. `app.create_app()` puts it together.
"""

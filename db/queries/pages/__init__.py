"""Lists for pages and the HTTP API, one page at a time from a cursor on. The last page is as fast as the first."""

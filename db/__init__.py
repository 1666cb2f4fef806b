"""The job database: tables, queries and migrations. Imports nothing else of Photochrom's."""

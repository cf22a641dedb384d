"""`kinema serve`: an HTTP API, its workers and the Studio, on one data folder."""

"""What every wing needs to run: processes, HTTP, a local web server, lineage, trained weights."""

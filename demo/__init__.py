"""The demonstration: everything that `make run` starts beside the service. Development only."""

"""Tell the operator when something fails, for those who have no Prometheus."""

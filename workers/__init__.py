"""The Celery workers: each job is a look at rows that a sweep also finds."""

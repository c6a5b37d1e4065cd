"""The Celery workers: each task reads its work from the database."""

"""The engine `celery`: rows are published to a broker after their commit, and run by Celery's workers."""

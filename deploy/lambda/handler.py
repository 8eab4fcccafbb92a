"""What Lambda calls: `handler.handler`, for HTTP requests, for messages of the queue, for the sweep and the upkeep."""

from carboy import create_app
from carboy.serve import lambda_handler

handler = lambda_handler(create_app)

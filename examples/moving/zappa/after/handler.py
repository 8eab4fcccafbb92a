"""`handler.handler`, for Lambda."""

from app import create_app

from carboy.serve import lambda_handler

handler = lambda_handler(create_app)

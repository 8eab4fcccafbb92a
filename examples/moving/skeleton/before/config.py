"""Configuration classes by name, as Flask tutorials have them."""

import os


class Config:
    SECRET_KEY = os.environ.get("SECRET_KEY", "dev")
    SQLALCHEMY_DATABASE_URI = os.environ.get("DATABASE_URL", "sqlite://")
    PAGE_SIZE = 20


class ProductionConfig(Config):
    PAGE_SIZE = int(os.environ.get("PAGE_SIZE", "50"))


config = {"development": Config, "production": ProductionConfig, "default": Config}

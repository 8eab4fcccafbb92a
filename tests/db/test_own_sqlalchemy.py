"""An application with a `SQLAlchemy()`, binds and migrations of its own: Carboy's parts stand beside them."""

import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import carboy
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
migrate = Migrate(directory="{directory}")

class Author(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String({length}))

class Book(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    author_id = db.Column(db.Integer, db.ForeignKey("author.id", ondelete="CASCADE"), nullable=False)

def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:////{folder}/shop.db"
    {first}
    {second}
    return app
"""
THEIRS = "db.init_app(app); migrate.init_app(app, db{more})"
OURS = "carboy.init_app(app)"


class Project:
    """A folder with such an application."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self, *, ours_first: bool = False, length: int = 20, directory: str = "migrations", more: str = ""
    ) -> None:
        """Write `shop.py`."""
        theirs = THEIRS.replace("{more}", more)
        first, second = (OURS, theirs) if ours_first else (theirs, OURS)
        text = APP.format(folder=self.folder, length=length, directory=directory, first=first, second=second)
        (self.folder / "shop.py").write_text(text)
        (self.folder / "carboy.toml").write_text(
            f"[default]\nmodules = []\ndatabase_url = 'sqlite:////{self.folder}/shop.db'\n"
        )

    def run(self, *arguments: str) -> str:
        """Run `flask …` or `carboy …` in it and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", arguments[0], *arguments[1:]],
            cwd=self.folder,
            env={"PATH": "/usr/bin", "FLASK_APP": "shop:create_app", "PYTHONPATH": str(self.folder), "HOME": "/tmp"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Ask its database."""
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(self.folder / "shop.db")) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder of its own."""
    return Project(tmp_path)


@pytest.mark.parametrize("ours_first", [False, True])
def test_migrations_of_the_project_and_of_carboy_do_not_see_each_other(project: Project, ours_first: bool) -> None:
    """In one database: the project's next migration drops none of our tables, and `carboy db` knows both."""
    project.write(ours_first=ours_first)
    project.run("flask", "db", "init")
    project.run("carboy", "db", "upgrade")
    project.run("flask", "db", "migrate", "-m", "first")
    text = next((project.folder / "migrations" / "versions").glob("*.py")).read_text()
    assert "drop_table('" not in text.partition("def downgrade")[0]
    assert "create_table('book'" in text
    project.run("carboy", "db", "upgrade")
    assert "behind" not in project.run("carboy", "db", "current")
    assert project.query("SELECT count(*) FROM sqlite_master WHERE name IN ('book', 'carboy_jobs')") == [(2,)]
    project.run("flask", "db", "check")


@pytest.mark.parametrize("upgrade", [("carboy", "db", "upgrade"), ("flask", "db", "upgrade")])
def test_a_batch_migration_on_sqlite_keeps_the_rows_that_refer_to_the_table(
    project: Project, upgrade: tuple[str, ...]
) -> None:
    """It copies and drops the table; with foreign keys on, its children would go with it."""
    project.write(directory="schema", more=', version_table="shop_version"')
    project.run("flask", "db", "init")
    project.run("flask", "db", "migrate", "-m", "first")
    project.run(*upgrade)
    import sqlite3

    with sqlite3.connect(project.folder / "shop.db") as connection:
        connection.execute("INSERT INTO author VALUES (1, 'Ann')")
        connection.executemany("INSERT INTO book VALUES (?, 1)", [(number,) for number in range(5)])
    connection.close()
    project.write(directory="schema", length=200, more=', version_table="shop_version"')
    project.run("flask", "db", "migrate", "-m", "wider names")
    project.run(*upgrade)

    assert project.query("SELECT count(*) FROM book") == [(5,)]
    assert project.query("SELECT name FROM author") == [("Ann",)]
    assert "behind" not in project.run("carboy", "db", "current")

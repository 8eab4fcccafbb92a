import carboy.testing


def test_every_public_name_can_be_imported_from_the_folder() -> None:
    """Though none is loaded before it is asked for."""
    assert all(getattr(carboy.testing, name) for name in carboy.testing.__all__)

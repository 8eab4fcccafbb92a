"""With Connexion 2."""

import connexion

app = connexion.FlaskApp(__name__, specification_dir=".")
app.add_api("openapi.yaml", strict_validation=True, validate_responses=True)

"""AWS: clients that fail fast and explain themselves, cached secrets and parameters, logins of databases.

boto3 is imported when AWS is first asked.
"""

from carboy.aws.clients import client, credentials, resource, set_default_session, set_default_timeout
from carboy.aws.db_credentials import DatabaseLogin, IamLogins, SecretLogins
from carboy.aws.kms import Kms, connect_kms
from carboy.aws.parameter_store import ParameterCache
from carboy.aws.partitions import dns_suffix
from carboy.aws.resolving import ParameterResolver, SecretResolver
from carboy.aws.secrets import SecretCache, SecretValue

__all__ = [
    "DatabaseLogin",
    "IamLogins",
    "Kms",
    "ParameterCache",
    "ParameterResolver",
    "SecretCache",
    "SecretLogins",
    "SecretResolver",
    "SecretValue",
    "client",
    "connect_kms",
    "credentials",
    "dns_suffix",
    "resource",
    "set_default_session",
    "set_default_timeout",
]

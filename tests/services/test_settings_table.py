"""The settings that users rely on, by name, with their defaults."""

from pathlib import Path
from typing import Any

import pytest

from carboy.config import Settings, load, read_sources
from carboy.web import settings_parts

DEFAULTS: dict[str, Any] = {
    "PROFILE": "local", "APP": "flask", "SECRET_KEY": None, "INSTANCE_PATH": "{folder}/instance", "AUTH": True,
    "MODULES": ("carboy.services.archive", "carboy.services.sms"),
    "LOG_LEVEL": "INFO", "LOG_FILE": None, "LOG_FILE_MAX_BYTES": 5_000_000, "LOG_FILE_MAX_COUNT": 5,
    "MAX_BODY_BYTES": 1_048_576, "TRUSTED_PROXIES": 0, "RATE_LIMIT": "6000/60s",
    "DATABASE_URL": "sqlite:///{folder}/instance/carboy.db", "DB_SECRET_NAME": None, "DB_HOST": None, "DB_PORT": None,
    "DB_NAME": None, "DB_AUTH": "password", "DB_TLS_CA": None, "DB_HEAL_S": 10.0, "DB_CONNECT_BUDGET_S": 30.0,
    "SQLALCHEMY_ENGINE_OPTIONS": {},
    "PARAMETER_STORE": False, "PARAMETER_PREFIX": None, "CONFIG_FILE": None, "CONFIG_KMS_KEYS": (),
    "SECRET_TTL_S": 300.0, "SECRET_MIN_INTERVAL_S": 5.0, "AWS_SECRETS_AGENT": None,
    "JOBS_ENGINE": "embedded", "JOBS_BROKER_URL": None, "JOBS_CONCURRENCY": 8, "JOBS_LEASE_S": 60.0,
    "JOBS_RETENTION": "7d",
    "ARCHIVE_URL": "file://{folder}/instance/archive", "TS_AWS_S3_BUCKET": "", "TS_AWS_S3_PREFIX": "",
    "THREATSTACK_API_KEY": None, "THREATSTACK_BASE_URL": "https://app.threatstack.com/api/v1",
    "THREATSTACK_API_VERSION": 1, "THREATSTACK_USER_ID": "", "THREATSTACK_ORGANIZATION_ID": "",
    "THREATSTACK_RATE": "2/1s", "SNS_TOPIC_ARNS": (),
    "SMS_PROVIDER": ("outbox",), "SMS_DEFAULT_REGION": "", "SMS_COUNTRIES": (),
    "SMS_RECEIVER_LIMITS": ("1/60s", "5/h", "10/day"), "SMS_DAILY_BUDGET": 0, "SMS_RESEND_UNKNOWN": False,
    "SMS_RETENTION": "30d", "SMS_OUTBOX": "{folder}/instance/sms-outbox.jsonl",
    "ALIYUN_SMS_APP_KEY": "", "ALIYUN_SMS_APP_SECRET": "", "ALIYUN_SMS_REGION_ID": "cn-hangzhou",
    "ALIYUN_SMS_SIGN_NAME": "", "ALIYUN_SMS_VERSION": "2017-05-25", "ALIYUN_URL": "https://dysmsapi.aliyuncs.com",
    "HUAWEI_URL": "", "HUAWEI_SMS_APP_KEY": "", "HUAWEI_SMS_APP_SECRET": "", "HUAWEI_SMS_SENDER_ID": "",
    "TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": "", "TWILIO_FROM": "", "TWILIO_URL": "https://api.twilio.com",
    "TENCENT_SECRET_ID": "", "TENCENT_SECRET_KEY": "", "TENCENT_SDK_APP_ID": "", "TENCENT_SIGN_NAME": "",
    "TENCENT_URL": "https://sms.tencentcloudapi.com", "AWS_SMS_URL": "", "SNS_URL": "",
    "TRACE": "off", "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings]:
    """Those of a folder with nothing in it."""
    folder: Path = tmp_path_factory.mktemp("empty")
    sources = read_sources(folder=folder, environ={})
    return folder, load(settings_parts(sources), sources)


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_setting_has_its_name_and_default(settings: tuple[Path, Settings], name: str) -> None:
    """A rename or another default breaks those who rely on it."""
    folder, found = settings
    wanted, value = DEFAULTS[name], found[name]
    if isinstance(wanted, str):
        wanted, value = wanted.format(folder=folder), str(value)
    assert value == wanted

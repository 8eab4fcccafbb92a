"""The SMS tutorial's `SMS_CONF` goes on working: the same providers, keys and template ids."""

from typing import Any

import pytest
from tests.services.sms.kit import MakeService

from carboy.config import load, read_sources
from carboy.errors import ConfigurationError
from carboy.services.sms.settings import SmsSettings
from carboy.testing import LoopbackServer
from carboy.testing.answers import json_answer


def conf(**aliyun: Any) -> dict[str, Any]:
    """Return the dictionary as the tutorial's `config.py` has it; a variable that is not set gives None."""
    config = {
        "domain": "dysmsapi.aliyuncs.com",
        "version": "2017-05-25",
        "app_key": "k",
        "app_secret": "s3cr3t",
        "region_id": None,
        "sign_name": "Shop",
        "template_id_map": {"captcha": "SMS_1"},
    }
    huawei = {"url": None, "app_key": None, "app_secret": None, "sender": None, "template_id_map": {"captcha": "xxx"}}
    return {
        "aliyun": {"provider_cls": "app.sms.AliyunSmsProvider", "config": {**config, **aliyun}},
        "huawei": {"provider_cls": "app.sms.HuaweiSmsProvider", "config": huawei},
    }


def read(**given: Any) -> SmsSettings:
    sources = read_sources(environ={"FLASK_PROFILE": "test"}, overrides={"sms_provider": "aliyun", **given})
    return load([SmsSettings], sources).part(SmsSettings)


def faults(**given: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(**given)
    return [fault.detail for fault in caught.value.faults if fault.pointer == "SMS_CONF"]


def test_the_tutorials_dictionary_names_providers_accounts_and_templates() -> None:
    settings = read(sms_conf=conf())

    account = settings.values_of("aliyun")
    assert settings.kind_of("aliyun") == "aliyun"
    assert (account["app_key"], account["sign_name"]) == ("k", "Shop")
    assert (account["url"], account["region_id"]) == ("https://dysmsapi.aliyuncs.com", "cn-hangzhou")
    assert settings.templates["captcha"]["aliyun"] == "SMS_1"
    assert settings.templates["captcha"]["params"] == ["code"]


def test_a_message_goes_out_by_it(make_service: MakeService) -> None:
    with LoopbackServer(json_answer({"Code": "OK", "BizId": "1^0", "Message": "OK"})) as server:
        given = conf(domain=server.url, template_id_map={"notice": "SMS_77"})
        templates = {"notice": {"params": ["name", "day"]}, "captcha": {"params": ["code"]}}
        service = make_service(sms_provider="aliyun", sms_conf=given, sms_templates=templates)
        assert service.sent_now()["state"] == "sent"
        request = server.requests[0]
    assert b"TemplateCode=SMS_77" in request.body


def test_what_the_dictionary_leaves_out_comes_from_the_variables() -> None:
    """Where `HUAWEI_SMS_APP_KEY` is not set, the tutorial has None there."""
    settings = read(
        sms_provider="huawei", sms_conf=conf(), huawei_url="https://h", huawei_sms_app_key="hk",
        huawei_sms_app_secret="hs", huawei_sms_sender_id="8823",
    )  # fmt: skip

    assert settings.values_of("huawei")["app_key"] == "hk"
    assert settings.values_of("huawei")["sender_id"] == "8823"


def test_carboys_own_tables_are_stronger() -> None:
    own = {"captcha": {"params": ["code"], "aliyun": "SMS_2"}}

    settings = read(sms_conf=conf(), sms_templates=own, sms_providers={"aliyun": {"app_key": "mine"}},
                    aliyun_sms_app_secret="s", aliyun_sms_sign_name="Shop")  # fmt: skip

    assert settings.templates["captcha"]["aliyun"] == "SMS_2"
    assert settings.values_of("aliyun")["app_key"] == "mine"


def test_a_class_of_ones_own_is_named_by_its_path() -> None:
    table = {"provider_cls": "app.sms.Pigeon", "config": {"loft": "north"}}

    settings = read(sms_provider="pigeon", sms_conf={"pigeon": table})

    assert settings.kind_of("pigeon") == "app.sms:Pigeon"
    assert settings.values_of("pigeon") == {"loft": "north"}


def test_a_template_without_known_parameters_is_named_with_what_to_write() -> None:
    """The tutorial takes any, in the order of the request; here their order is fixed."""
    [why] = faults(sms_conf=conf(template_id_map={"welcome": "SMS_3"}))

    assert "[default.sms.templates.welcome]" in why


@pytest.mark.parametrize(
    "given",
    [{"aliyun": 1}, {"aliyun": {}}, {"aliyun": {"provider_cls": 7}}, {"aliyun": {"provider_cls": "A", "config": []}},
     {"aliyun": {"provider_cls": "A", "config": {"template_id_map": "SMS_1"}}}],
)  # fmt: skip
def test_what_is_no_such_table_is_named(given: dict[str, Any]) -> None:
    assert "provider_cls" in faults(sms_conf=given)[0]


def test_an_unknown_field_is_named_with_those_that_there_are() -> None:
    [why] = faults(sms_conf=conf(colour="green"))

    assert "aliyun.config.colour" in why
    assert "sign_name" in why


def test_no_secret_of_it_is_shown() -> None:
    from carboy.config import read_sources as sources_of

    given = {"sms_provider": "aliyun", "sms_conf": conf()}
    entry = load([SmsSettings], sources_of(environ={"FLASK_PROFILE": "test"}, overrides=given)).entry("SMS_CONF")

    assert entry is not None
    assert "s3cr3t" not in str(entry)

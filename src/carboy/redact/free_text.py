"""Mask secrets in what programs print: markup, command lines and prose."""

import re

from carboy.redact.secret import MASK
from carboy.redact.secret_names import is_secret_name

_JWT = r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,}"
_ELEMENT = r"(?i)(<|&lt;|\\u003c)((?:[\w-]+:)?[\w.-]{2,128})(?:\s[^<>]{0,512}?)?(?<!/)(?:>|&gt;|\\u003e)"
_CUT_OFF = r"[^\s<]+\Z"
_ATTRIBUTES = r"""(?x)(?P<before>\b(?:name|key|id)\s?=\s?\\?["'](?P<name>[\w.:-]{2,128})\\?["']
    (?:[^<>]{0,256}?\bvalue\s?=\s?\\?["']|[^<>]{0,256}>))(?P<quote>)(?P<value>[^<"'\\]+)"""
_OPTION = r"""(?x)(?P<before>(?<![\w-])--(?P<name>[A-Za-z][\w.-]{1,127})\s+(?P<quote>\\?["']?))
    (?!(?:is|was|are|has|and|or|not|in|for|to|must|cannot|missing|requires?|needs?|expects?|option)\b)
    (?P<value>(?<=["'])(?:(?!(?P=quote)).)+|(?!-)[^\s"'\\]+)"""
_LOGIN = r"""(?x)(?P<before>(?<![\w-])(?:--(?:proxy-)?user|-[A-Za-z]{0,8}[uU])(?:\\?["'],\s?|\s?=?\s{0,3})
    (?P<quote>\\?["'])?(?!\d+:\d+(?![^\s"'\\])|https?:)[^\s:"'\\]{0,128}:)
    (?(quote)(?:(?!(?P=quote))[^\r\n])+|[^\s"'\\]+)"""
_PROSE = r"""(?xi)(?P<before>\b(?:pass(?:word|wd|phrase|code)|identified\s+by)\s(?:(?:is|was|of|to|by)\s)?
    (?P<quote>\\?["'`]))(?:(?!(?P=quote)).){1,256}(?P<after>(?P=quote))"""
_PLAIN_PROSE = r"""(?xi)(?P<before>\bpass(?:word|wd|phrase|code)[ ](?:is|was)[ ])
    (?!base\d|utf-?\d|md5|sha-?\d|argon2|pbkdf2|x509)
    (?:(?=[^\s\d]*\d)(?=\S*[^\W\d])\S{5,256}|\d{4,64})(?<![.,;:!?)])  # a word of letters is prose: "is required"
    """
_MAYBE_LOGIN_AT = r""":(?!\*\*\*@)[^\s:@/?#"'<>(),;]{1,128}@"""  # a tenth of what the whole costs; `***` is masked
_LOGIN_AT = r"""(?xi)(?<![\w/@.+-])(?P<before>(?!(?:mailto|e-?mail|mail|to|from|cc|bcc|reply-to|sender|contact|author
    |owner|by|sips?|xmpp|acct|ssh|scp|sftp|rsync|git|npm):)[a-z][\w.+-]{1,63}:)[^\s:@/?\#"'<>(),;]{1,128}
    (?=@(?!sha\d|md5:)(?:(?:\d{1,3}(?:\.\d{1,3}){3}|[a-z][\w-]*)(?![\w.-])  # an address, or a host without a domain
    |[a-z][\w-]*(?:\.[\w-]+)+(?::\d{2,5}\b|/)
    |(?<=[\d!$%^&*~]@)[a-z][\w-]*(?:\.[\w-]+)+))  # else it may be an e-mail address behind a label
    """
_NETRC = r"(?i)\b(login\s+\S+\s+password\s+)\S+"
_SHORT_OPTION = r"""(?x)\b((?:sshpass\s+-p|redis-cli\s.{0,128}?-a|docker\s+login\s.{0,128}?-p)\s?
    |(?:mysql|mariadb)[\w-]*\s(?:.{0,128}?\s)?-p)(?![\s'"-])[^\s"']+"""
_PROGRAMS = ("sshpass", "redis-cli", "docker login", "mysql", "mariadb")


def mask_free_text(text: str, low: str) -> str:
    """Return the text with what is secret in markup, command lines and prose as `***`.

    Args:
        text: to mask.
        low: the same in lower case.
    """
    if "eyJ" in text:
        text = re.sub(_JWT, MASK, text)
    if "<" in text or ("&" in text and "&lt;" in low) or ("\\" in text and "\\u003c" in low):
        text = re.sub(_ATTRIBUTES, _without_value, _mask_elements(text))
    if "@" in text and ":" in text and re.search(_MAYBE_LOGIN_AT, text):
        text = re.sub(_LOGIN_AT, rf"\g<before>{MASK}", text)
    if "-" in text:
        text = _mask_options(text, low)
    if "pass" in low or ("'" in text and "identified" in low):
        text = re.sub(_PROSE, rf"\g<before>{MASK}\g<after>", text)
        if " is " in low or " was " in low:
            text = re.sub(_PLAIN_PROSE, rf"\g<before>{MASK}", text)
        if "login" in low:
            text = re.sub(_NETRC, rf"\1{MASK}", text)
    return text


def _mask_options(text: str, low: str) -> str:
    if "--" in text:
        text = re.sub(_OPTION, _without_value, text)
    if ":" in text and ("curl" in low or "-user" in low):
        text = re.sub(_LOGIN, rf"\g<before>{MASK}", text)
    if ("-p" in text or "-a" in text) and any(program in low for program in _PROGRAMS):
        text = re.sub(_SHORT_OPTION, rf"\1{MASK}", text)
    return text


def _mask_elements(text: str) -> str:
    """Mask the content of elements with a secret name, whatever their prefix; one that is not closed is prose."""
    parts: list[str] = []
    done = 0
    for tag in re.finditer(_ELEMENT, text):
        if tag.start() < done or not is_secret_name(tag[2].rpartition(":")[2]):
            continue
        end = text.find(f"{tag[1]}/{tag[2]}", tag.end())
        if end < 0:
            end = len(text) if re.compile(_CUT_OFF).match(text, tag.end()) else tag.end()
        if text[tag.end() : end].strip():
            parts += text[done : tag.end()], MASK
            done = end
    return "".join(parts) + text[done:] if parts else text


def _without_value(match: re.Match[str]) -> str:
    is_secret = is_secret_name(match["name"].rpartition(":")[2]) and match["value"].strip()
    return match["before"] + MASK if is_secret else match[0]

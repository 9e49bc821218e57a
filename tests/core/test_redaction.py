"""What is secret does not leave; what is not stays readable."""

from __future__ import annotations

import string
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.entries import Entry, Location, Text, ToolCall, Unknown
from coder_nb.core.redaction import (
    HIDDEN,
    Redactor,
    secrets_in,
    secrets_of,
    secrets_seen,
    secrets_within,
)

CANARIES = (
    "sk-ant-api03-Zm9vYmFyYmF6cXV4",
    "sk_live_51H8abcdefghijkl",
    "cnb_Zm9vYmFyYmF6cXV4Zm9vYmFy",
    "ghp_0123456789abcdefghijABCDEFGHIJ",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-0123456789abcdefghijklmnopqrs",
    "hf_abcdefghijklmnopqrstuvwx",
    "xoxb-123456789012-abcdefghijkl",
    "npm_" + "aB3" * 12,
    "pypi-AgEIcHlwaS5vcmc" + "aB3-_" * 20,
    "SG." + "aB3-_x" * 3 + "aB3_" + "." + "aB3-_" * 8 + "aB3",
    "ya29.a0" + "AfH6SM-_" * 10,
    "ya29.c.c0" + "ASRK0Ga_" * 10,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
)


@pytest.mark.parametrize("canary", CANARIES)
def test_what_has_the_shape_of_a_key_is_hidden_anywhere_in_a_text(canary: str) -> None:
    hidden = Redactor().text(f"before {canary} after")
    assert hidden == f"before {HIDDEN} after"


def test_a_password_in_an_address_is_hidden_and_the_address_is_not() -> None:
    assert Redactor().text("postgresql://ann:hunter22@db/x") == f"postgresql://{HIDDEN}@db/x"


def test_a_header_with_a_token_keeps_its_name() -> None:
    assert Redactor().text("Authorization: Bearer abcdef0123456789") == f"Authorization: Bearer {HIDDEN}"


def test_a_token_is_hidden_also_where_the_one_before_it_ends_with_the_name_of_its_header() -> None:
    said = Redactor().text("Bearer abcdef0123456789Bearer ghijkl0123456789")
    assert said == f"Bearer {HIDDEN} {HIDDEN}"


def test_a_value_that_is_assigned_to_a_name_which_says_so_is_hidden() -> None:
    assert Redactor().text('API_KEY = "a1b2c3d4e5f6g7"') == f'API_KEY = "{HIDDEN}"'
    assert Redactor().text('{"client_secret": "a1b2c3d4e5f6g7"}') == f'{{"client_secret": "{HIDDEN}"}}'


@pytest.mark.parametrize(
    "text",
    [
        "def test_key_error(): ...",
        'api_key = os.environ["API_KEY"]',
        "tokens: 12000, max_tokens=4096",
        "https://example.org/a:b@c",
        "the sky is blue, task-list-of-things",
        "npm_config_registry npm_lifecycle_event npm_package_dependencies_are_told_by_their_names_in_full",
        "pypi-attestations, pypi-AgE, pypi-AgEnt-of-many-words; https://pypi.org/project/pypi-simple",
        "SG. SG.png MSG.header SG.Group.Name SG.a.b see SG.introduction-and-overview.html",
        f"SGx{22 * 'a'}.{43 * 'b'}",
        "ya29. ya29.x ya29.example.org maya29.abcdefghijklmnopqrstuvwxyz",
        "commit 874bf2871bbdf87996dda33bba3abd369e1b374b",
    ],
)
def test_ordinary_text_and_code_stay_as_they_are(text: str) -> None:
    assert Redactor().text(text) == text


def test_variables_are_told_by_their_names() -> None:
    environ = {"OPENAI_API_KEY": "canary-one", "PATH": "/usr/bin", "HF_TOKEN": "short", "DB_PASSWORD": "canary-two"}
    assert secrets_of(environ) == {"canary-one", "canary-two"}


def test_the_values_of_a_dotenv_file_are_secrets_but_for_plain_words_and_numbers() -> None:
    text = "A=canary-one\nexport B='canary two'\n# C=no\nDEBUG=true\nPORT=123456\nMODE=production\nD=canary3 # why\n"
    assert secrets_in(text) == {"canary-one", "canary two", "canary3"}


@pytest.mark.parametrize(
    "call",
    [
        ToolCall(name="terminal", input={"command": "cat .env"}, content="SETTING=canary-one\n"),
        ToolCall(name="terminal", input="cat app/.env.local | sort", content="SETTING=canary-one\n"),
        ToolCall(name="file_read", locations=(Location("app/.env"),), content="SETTING=canary-one\n"),
        ToolCall(name="file_read", title="Read .env", content="SETTING=canary-one\n"),
    ],
)
def test_what_an_agent_saw_in_a_dotenv_file_is_hidden_wherever_it_says_it_again(call: ToolCall) -> None:
    looked = Entry(id="1" * 26, chat_id="2" * 26, body=call)
    said = Entry(id="3" * 26, chat_id="2" * 26, body=Text("The setting is canary-one."))
    redactor = Redactor(secrets_seen([looked, said]))
    assert "canary-one" not in str(redactor.entry(looked))
    assert redactor.entry(said).body == Text(f"The setting is {HIDDEN}.")


def test_a_tool_that_looked_at_another_file_teaches_no_secrets() -> None:
    call = ToolCall(name="terminal", input={"command": "cat environment.py"}, content="NAME=something-long\n")
    assert secrets_seen([Entry(id="1" * 26, chat_id="2" * 26, body=call)]) == frozenset()


def test_data_is_redacted_by_the_names_of_its_fields_too() -> None:
    assert Redactor().data({"password": "swordfish", "note": ["a swordfish"]}) == {
        "password": HIDDEN,
        "note": ["a swordfish"],
    }


def test_an_entry_of_an_unknown_kind_is_redacted_as_well() -> None:
    body = Unknown(kind="hologram", data=msgspec.json.encode({"kind": "hologram", "says": CANARIES[0]}))
    found = Redactor().entry(Entry(id="1" * 26, chat_id="2" * 26, body=body)).body
    assert isinstance(found, Unknown)
    assert CANARIES[0].encode() not in found.data


@given(
    st.lists(st.text(string.ascii_letters + string.digits + ".*+?[]()\\^$|-", min_size=6), max_size=5),
    st.text(max_size=50),
)
def test_no_known_secret_is_left_whatever_stands_around_it(secrets: list[str], around: str) -> None:
    redactor = Redactor(secrets)
    for secret in secrets:
        assert secret not in redactor.text(f"{around}{secret}{around}").replace(HIDDEN, "\0")


@given(st.text(max_size=200))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    redactor = Redactor(["canary"])
    assert redactor.text(redactor.text(text)) == redactor.text(text)


def test_the_secrets_of_settings_are_found_by_the_names_of_their_fields() -> None:
    servers = {"db": {"command": "serve", "args": ["--fast"], "env": {"DB_PASSWORD": "hunter22", "MODE": "readonly"}}}
    assert secrets_within([servers, {"mine": {"env": {"API_KEY": "abc-123-def"}}}]) == {"hunter22", "abc-123-def"}
    assert secrets_within({"timeout_tokens": 3, "key": "ab", "none": None}) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "aB3-",
        "key",
        "key=",
        "token-",
        "secret_a1",
        "-eyJ",
        "eyJa.",
        " ",
        "\n",
        "A=",
        "a= ",
        "://a:",
        "-----BEGIN A",
        "sk-",
        "npm_a",
        "pypi-AgE",
        "SG.",
        "SG.aaaaaaaaaaaaaaaaaaaaaa.",
        "ya29.a.",
    ],
)
def test_a_long_text_takes_time_in_proportion_to_its_length_whatever_it_repeats(text: str) -> None:
    long = text * (100_000 // len(text))
    began = time.process_time()
    Redactor(("a secret of mine",)).text(long)
    secrets_in(long)
    assert time.process_time() - began < 10, "else it is minutes"

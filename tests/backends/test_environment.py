"""Law 19: what an agent's process may see of our environment."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.backends.environment import agent_environment

SECRETS = {
    "JUPYTER_TOKEN": "t",
    "JUPYTERHUB_API_TOKEN": "t",
    "JPY_API_TOKEN": "t",
    "JPY_PARENT_PID": "1",
    "CODER_NB_DATABASE": "postgresql://u:p@h/d",
    "DATABASE_URL": "postgresql://u:p@h/d",
    "MY_DATABASE_URL": "postgresql://u:p@h/d",
    "PGPASSWORD": "p",
    "MYSQL_PWD": "p",
    "APP_DB_PASSWORD": "p",
}


def test_only_what_is_listed_passes() -> None:
    source = {
        "HOME": "/h",
        "PATH": "/bin",
        "LC_ALL": "C",
        "XDG_DATA_HOME": "/x",
        "AWS_SECRET_ACCESS_KEY": "s",
        **SECRETS,
    }
    assert agent_environment(source) == {"HOME": "/h", "PATH": "/bin", "LC_ALL": "C", "XDG_DATA_HOME": "/x"}


def test_proxies_and_certificates_pass_in_both_cases() -> None:
    source = {"http_proxy": "p", "HTTPS_PROXY": "p", "no_proxy": "n", "SSL_CERT_FILE": "c", "NODE_EXTRA_CA_CERTS": "c"}
    assert agent_environment(source) == source


def test_keys_pass_where_the_registry_or_the_user_names_them() -> None:
    source = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "u", "MY_KEY": "m", "OTHER_KEY": "o"}
    found = agent_environment(source, names=("OPENAI_*",), user_names=("MY_KEY",))
    assert found == {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "u", "MY_KEY": "m"}


@pytest.mark.parametrize("pattern", ["*", "J*", "D*", "*_*", "PG*", "C*", "M*", "A*"])
def test_no_pattern_lets_tokens_and_database_passwords_through(pattern: str) -> None:
    assert not agent_environment(SECRETS, names=(pattern,), user_names=(pattern,))


@given(st.sets(st.sampled_from(sorted(SECRETS))))
def test_a_users_own_naming_wins_but_for_the_tokens_of_jupyter_and_the_hub(names: set[str]) -> None:
    found = agent_environment(SECRETS, user_names=names)
    assert set(found) == {n for n in names if not n.startswith(("JUPYTER", "JPY", "CODER_NB_"))}


def test_the_registry_cannot_name_a_database_password() -> None:
    assert agent_environment(SECRETS, names=tuple(SECRETS)) == {}


def test_the_notebooks_python_comes_first() -> None:
    path = os.pathsep.join(["/usr/bin", "/venv/bin"])
    found = agent_environment({"PATH": path}, python_bin="/venv/bin", virtual_env="/venv", extra={"A": "1"})
    assert found == {"PATH": os.pathsep.join(["/venv/bin", "/usr/bin"]), "VIRTUAL_ENV": "/venv", "A": "1"}

"""Where things are, by option, environment and user."""

from __future__ import annotations

import pytest

from volt_agent.options import AgentOptions, resolve_agent_options, socket_candidates

USER = {"XDG_STATE_HOME": "/home/u/.state", "XDG_RUNTIME_DIR": "/run/user/7"}
ENVIRONMENT = {"VOLT_CONFIG": "/e/c", "VOLT_STATE_DIR": "/e/d", "VOLT_SOCKET": "/e/s"}


def test_root_uses_the_paths_of_the_system() -> None:
    """The defaults of the documentation, whatever XDG says."""
    assert resolve_agent_options(USER, uid=0) == AgentOptions()


def test_everybody_else_uses_their_own() -> None:
    """State and socket; the configuration is the system's."""
    options = resolve_agent_options(USER, uid=7)
    assert options.state_dir == "/home/u/.state/volt"
    assert options.socket == "/run/user/7/volt/agent.sock"
    assert options.config == "/etc/volt/config.yaml"


def test_without_a_runtime_directory_the_socket_is_beside_the_state() -> None:
    """No session manager, as under sudo -u or in a container."""
    options = resolve_agent_options({"XDG_STATE_HOME": "/s"}, uid=7)
    assert options.socket == "/s/volt/agent.sock"


def test_without_xdg_at_all_the_home_directory_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default of the XDG specification."""
    monkeypatch.setenv("HOME", "/home/u")
    assert resolve_agent_options({}, uid=7).state_dir == "/home/u/.local/state/volt"


def test_the_environment_wins_over_defaults_and_options_over_both() -> None:
    """And a file that somebody named has to exist."""
    from_environment = resolve_agent_options(ENVIRONMENT, uid=0)
    assert from_environment == AgentOptions(
        config="/e/c", state_dir="/e/d", socket="/e/s", config_named=True
    )
    given = resolve_agent_options(ENVIRONMENT, config="c", state_dir="d", socket="s", uid=0)
    assert given == AgentOptions(config="c", state_dir="d", socket="s", config_named=True)


@pytest.mark.parametrize(
    ("environ", "given", "uid", "candidates"),
    [
        ({}, None, 0, ("/run/volt/agent.sock",)),
        (USER, None, 0, ("/run/volt/agent.sock",)),
        (USER, None, 7, ("/run/user/7/volt/agent.sock", "/run/volt/agent.sock")),
        (ENVIRONMENT, None, 7, ("/e/s",)),
        (ENVIRONMENT, "/g", 7, ("/g",)),
    ],
)
def test_where_a_client_looks(
    environ: dict[str, str], given: str | None, uid: int, candidates: tuple[str, ...]
) -> None:
    """A named socket only; else a user's own agent before the system's."""
    assert socket_candidates(environ, given, uid) == candidates

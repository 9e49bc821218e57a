"""What is known of programs by their names: which of them run others, and which say with further words what they do."""

from __future__ import annotations

import re

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "fish"})
RUNNERS = frozenset(
    {
        *SHELLS,
        *("sudo", "doas", "su", "runuser", "env", "xargs", "eval", "exec", "source", ".", "command", "builtin"),
        *("nohup", "nice", "ionice", "taskset", "chrt", "numactl", "flock", "time", "timeout", "watch", "chroot"),
        *("unshare", "ssh", "docker", "podman", "perl", "ruby", "node", "deno", "bun", "php", "awk", "gawk", "mawk"),
        *("nawk", "lua", "find", "fd", "parallel", "strace", "setsid", "stdbuf", "script", "expect", "ksh", "pwsh"),
        *("powershell", "cmd", "busybox", "systemd-run", "at", "batch", "tmux", "screen", "srun", "mpirun"),
        *("mpiexec", "Rscript", "R", "julia", "ipython", "sed", "ed", "vim", "vi", "ex", "nvim", "emacs"),
    }
)
"""Programs that run whatever they are given."""
KEYWORDS = frozenset(
    {
        *("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "select"),
        *("function", "coproc", "[[", "!", "{", "}", "and", "or", "not", "begin", "end", "alias", "export", "set"),
        *("declare", "local", "readonly", "typeset", "trap", "unset", "hash", "enable", "cd", "pushd", "popd"),
    }
)
"""Words that change what the words after them mean."""
STARTERS = frozenset(
    {
        *(("uv", "run"), ("uv", "x"), ("poetry", "run"), ("pdm", "run"), ("hatch", "run"), ("pixi", "run")),
        *(("pipenv", "run"), ("rye", "run"), ("conda", "run"), ("mamba", "run"), ("micromamba", "run")),
        *(("npm", "exec"), ("npm", "x"), ("pnpm", "exec"), ("pnpm", "dlx"), ("yarn", "exec"), ("yarn", "dlx")),
        *(("bundle", "exec"), ("tox", "exec"), ("coverage", "run")),
    }
)
"""Beginnings after which there is another command."""
WITH_PARTS = frozenset(
    {
        *("git", "gh", "hg", "npm", "pnpm", "yarn", "pip", "pip3", "conda", "mamba", "poetry", "pdm", "hatch", "nox"),
        *("cargo", "go", "rustup", "make", "just", "jupyter", "dvc", "kubectl", "terraform", "brew", "apt", "tox"),
        *("uv", "pixi", "pipenv", "rye", "bundle", "coverage", "micromamba"),
    }
)
"""Programs whose second word says what they do."""
PYTHON = re.compile(r"(?:python|pypy)[\d.]*\Z")

"""Where sessions take place: a shell that sees the same machine under a different name.

Owns the namespaces. The program's output is never changed: the host name is that of a UTS namespace, and /home is an
empty file system in a mount namespace, with the folders of a user `me`. Root may do this everywhere, other users where
the system allows user namespaces; elsewhere there are no pictures.
"""

import os
import subprocess
import sys

HOME = "/home/me"
PROMPT = "$ "
# The prompt also sets the window title, which nothing else does. This shows a session that a command has ended.
TITLE = "prompt"

# Arguments: the host name, the program, the text of ~/.bashrc, and the command to run.
ENTER = r"""
set -eu
hostname "$1"
exec 3< "$2"
bashrc=$3
shift 3
mount -t tmpfs -o mode=755 tmpfs /home
mkdir -p /home/me/bin /home/me/farm
cat <&3 > /home/me/bin/taskfarmer-mpi
exec 3<&-
chmod 755 /home/me/bin/taskfarmer-mpi
printf '%s\n' 'set enable-bracketed-paste off' > /home/me/.inputrc
printf '%s\n' "$bashrc" > /home/me/.bashrc
cd /home/me/farm
exec "$@"
"""


def environment():
    """What a user has in a fresh terminal, without any launcher's or batch system's variables."""
    return {
        "HOME": HOME,
        "USER": "me",
        "SHELL": "/bin/bash",
        "PATH": f"{HOME}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "HISTFILE": "",
        # Open MPI refuses to run as root, and some containers forbid its way to copy memory.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    }


def command(binary, host, bashrc, words):
    """The command line that runs these words on the stage."""
    namespaces = ["unshare", "--mount", "--uts"]
    if os.geteuid() != 0:
        namespaces += ["--user", "--map-root-user"]
    return [*namespaces, "bash", "-c", ENTER, "stage", host, str(binary), bashrc, *words]


def shell(binary, host, setup):
    """The command line of an interactive shell that has run the text `setup`."""
    bashrc = f"{setup}\nPS1='\\[\\e]2;{TITLE}\\a\\]{PROMPT}'\n"
    return command(binary, host, bashrc, ["bash", "--rcfile", f"{HOME}/.bashrc", "-i"])


def check():
    """Ends the script if this machine does not allow it."""
    words = command("/bin/true", "laptop", "", ["true"])
    tried = subprocess.run(words, env=environment(), capture_output=True, text=True)
    if tried.returncode != 0:
        sys.exit(f"pictures: cannot set a host name and a home folder here; try it as root: {tried.stderr.strip()}")

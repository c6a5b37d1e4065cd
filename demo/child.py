"""Become another program, which then ends when the process that started it ends.

Run as ``python child.py SIGNAL PARENT UID GID PROGRAM [ARGUMENT ...]``; -1 keeps the user.
Only Linux sends the signal; elsewhere the next start finds and ends what was left.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    end_signal, parent, uid, gid = (int(argument) for argument in sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After setuid, which would clear it; and a parent that died before this line sends no signal.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, end_signal)
    if os.getppid() != parent:
        sys.exit("The process that started this one is gone.")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(sys.argv[5], sys.argv[5:])  # noqa: S606 - the program is the launcher's own


if __name__ == "__main__":
    main()

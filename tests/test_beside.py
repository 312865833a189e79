"""Work beside the caller's."""

import os
import subprocess
import sys

import pytest

from antipodal.policy.beside import beside

FORKED = """
import os
from antipodal.policy.beside import beside
assert beside(pow, 2, 3)() == 8  # the threads are there
child = os.fork()
if not child:
    os._exit(beside(pow, 2, 4)())
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_answer_is_the_functions_as_often_as_it_is_asked():
    answer = beside(divmod, 17, 5)
    assert answer() == answer() == divmod(17, 5)


def test_what_it_raises_is_raised_where_it_is_asked():
    answer = beside(int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        answer()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, timeout=60)
    assert done.returncode == 2**4, done.stderr.decode()

"""The peer FLINT: peer_flint.py N THREADS [LIBRARY]

Prints the seconds that F(N) and its conversion to decimal took, its number of digits, and the
first and last 20, computed in radix 10^19 from the start (radix.h of FLINT 3.6, in this libflint.so
or the one that python-flint brings).
"""

import ctypes
import sys
import time
from pathlib import Path

EXPONENT = 19


def main(n, threads, library=None):
    lib = ctypes.CDLL(library or of_python_flint())
    lib.flint_set_num_threads(threads)
    radix = ctypes.create_string_buffer(1024)  # radix_struct has no more than that
    lib.radix_init(radix, ctypes.c_ulong(10), ctypes.c_uint(EXPONENT))
    start = time.perf_counter()
    term = fibonacci(lib, radix, n)
    lib.radix_get_str_decimal.restype = ctypes.c_char_p
    text = lib.radix_get_str_decimal(None, ctypes.c_void_p(term.d), ctypes.c_long(term.size), 0, radix)
    seconds = time.perf_counter() - start
    print(seconds, len(text), text[:20].decode(), text[-20:].decode())


class Integer(ctypes.Structure):
    _fields_ = [("d", ctypes.c_void_p), ("alloc", ctypes.c_long), ("size", ctypes.c_long)]


def fibonacci(lib, radix, n):
    """By doubling: F(2k) = F(k) (2 F(k+1) - F(k)), F(2k+1) = F(k)^2 + F(k+1)^2."""
    a, b, c, d = (Integer() for _ in range(4))

    def call(name, *arguments):
        getattr(lib, name)(*(ctypes.byref(argument) for argument in arguments), radix)

    for number in (a, b, c, d):
        call("radix_integer_init", number)
    call("radix_integer_one", b)
    for place in reversed(range(n.bit_length())):
        call("radix_integer_add", c, b, b)
        call("radix_integer_sub", c, c, a)
        call("radix_integer_mul", c, c, a)
        if place > 0 or n & 1:
            call("radix_integer_mul", d, a, a)
            call("radix_integer_mul", a, b, b)
            call("radix_integer_add", d, d, a)
        if n >> place & 1:
            call("radix_integer_add", c, c, d)
            a, b, c, d = d, c, a, b
        else:
            a, b, c, d = c, d, a, b
    return a


def of_python_flint():
    import flint

    folder = Path(flint.__file__).parent.parent / "python_flint.libs"
    return str(next(folder.glob("libflint-*.so*")))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])

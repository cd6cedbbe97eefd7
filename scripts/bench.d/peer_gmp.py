"""N: GMP's F(N) and its decimal digits. Prints the seconds it took, how many digits, the first and the last 20."""

import sys
import time

import gmpy2

n = int(sys.argv[1])
start = time.perf_counter()
digits = gmpy2.digits(gmpy2.fib(n))
print(time.perf_counter() - start, len(digits), digits[:20], digits[-20:])

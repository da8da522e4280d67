"""Fits the polynomials of the vector exp, expm1 and normal tail by Remez's exchange, in 50 digits, and prints them with their
largest relative error. math.go has the result. Needs mpmath 1.3.0 and numpy 2."""
import numpy as np
from mpmath import mp, mpf, cos, pi, exp, erfc, sqrt, log, lu_solve, matrix

mp.dps = 50


def fit(f, weight, lo, hi, degree):
    """Coefficients, lowest first, of p with p(x)/f(x)-1 small and equal-rippled on [lo, hi]: Remez by exchange."""
    n = degree + 2
    xs = [(lo + hi) / 2 - (hi - lo) / 2 * cos(pi * i / (n - 1)) for i in range(n)]
    grid = [lo + (hi - lo) * mpf(i) / 4000 for i in range(4001)]
    fg = [f(x) for x in grid]
    wg = [weight(x) for x in grid]
    for _ in range(12):
        a = matrix(n, n)
        b = matrix(n, 1)
        for i, x in enumerate(xs):
            for j in range(degree + 1):
                a[i, j] = x**j
            a[i, degree + 1] = (-1) ** i / weight(x)
            b[i] = f(x)
        s = lu_solve(a, b)
        c = [s[j] for j in range(degree + 1)]
        err = [(mp.polyval(c[::-1], x) - y) * w for x, y, w in zip(grid, fg, wg)]
        # the extrema of each run of one sign
        picks, start = [], 0
        for i in range(1, len(err) + 1):
            if i == len(err) or (err[i] > 0) != (err[start] > 0):
                picks.append(max(range(start, i), key=lambda k: abs(err[k])))
                start = i
        while len(picks) > n:
            picks.pop(0 if abs(err[picks[0]]) < abs(err[picks[-1]]) else -1)
        if len(picks) < n:
            break
        xs = [grid[i] for i in picks]
    return c, max(abs(e) for e in err)


def show(name, c, err):
    print(f"// {name}: error {mp.nstr(err, 3)}")
    for v in c:
        print(f"\t{np.float32(float(v))!r}".replace("np.float32(", "").replace(")", ","))


# exp(r) = 1 + r + r²·p(r) and expm1(r) = r + r²·p(r)
h = log(2) / 2 * mpf("1.01")
show("exp", *fit(lambda r: (exp(r) - 1 - r) / r**2, lambda r: r**2 / exp(r) + mpf("1e-9"), -h, h + mpf("1e-3"), 4))

# The tail of the normal distribution: Φ(-z) = exp(-z²/2)·t·p(t), t = 1/(1+c·z), 0 ≤ z ≤ 15. Of the c and degrees tried, from
# 0.3 to 0.5 and 7 to 9, this is the smallest that float32 cannot tell from the function.
c = mpf("0.35")
z = lambda t: (1 / t - 1) / c
g = lambda t: erfc(z(t) / sqrt(2)) * exp(z(t) ** 2 / 2) / 2 / t
show("normal tail", *fit(g, lambda t: 1 / g(t), 1 / (1 + 15 * c), mpf(1), 8))

# The logarithm of the odds of the normal distribution, log2(Φ(x)/Φ(-x)) = x·p(x²) for 0 ≤ x ≤ 6, and 2**x for 0 ≤ x ≤ 1, for a GELU whose error
# is small beside |y|+1e-3.
normal = lambda x: erfc(-x / sqrt(2)) / 2
odds = lambda s: log(normal(sqrt(s)) / normal(-sqrt(s)), 2) / sqrt(s)
least = lambda s: sqrt(s) * normal(-sqrt(s))
show("odds", *fit(odds, lambda s: log(2) * sqrt(s) * normal(sqrt(s)) * least(s) / (least(s) + mpf("1e-3")), mpf("1e-6"), mpf(36), 5))
show("power", *fit(lambda x: mpf(2) ** x, lambda x: mpf(2) ** -x, mpf(0), mpf(1), 3))

#!/usr/bin/python3
"""What people do today: pandas and SciPy over two CSV files.

    pandas.py five REFERENCE CURRENT       KS, Wasserstein, PSI, Jensen-Shannon, chi-squared
    pandas.py evidently REFERENCE CURRENT  Evidently's default rule: Wasserstein for numbers,
                                           Jensen-Shannon for categories

Prints a line a column. The definitions are those of Evidently 0.7.21 and SciPy, as
anneal's tests have them; bins of PSI are the reference's deciles.
"""
import sys

del sys.path[0]  # where this file is called pandas, too

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial import distance


def shares(ref, cur):
    """The shares of each category in both, in one order."""
    a, b = ref.value_counts(), cur.value_counts()
    keys = a.index.union(b.index)
    a, b = a.reindex(keys, fill_value=0).to_numpy(), b.reindex(keys, fill_value=0).to_numpy()
    return a, b


def psi(p, q):
    p, q = np.where(p == 0, 1e-4, p), np.where(q == 0, 1e-4, q)
    return float(np.sum((q - p) * np.log(q / p)))


def normed_wasserstein(ref, cur):
    return stats.wasserstein_distance(ref, cur) / max(np.std(ref), 0.001)


def numeric(ref, cur, five):
    ref, cur = ref.dropna().to_numpy(), cur.dropna().to_numpy()
    out = {"wasserstein": normed_wasserstein(ref, cur)}
    if not five:
        return out
    ks = stats.ks_2samp(ref, cur, mode="asymp")
    out["ks"], out["p"] = ks.statistic, ks.pvalue
    edges = np.unique(np.quantile(ref, np.linspace(0, 1, 11)))
    edges[0], edges[-1] = -np.inf, np.inf
    p, q = (np.histogram(x, edges)[0] / len(x) for x in (ref, cur))
    out["psi"] = psi(p, q)
    bins = np.histogram_bin_edges(np.concatenate([ref, cur]), bins="sturges")
    out["js"] = distance.jensenshannon(np.histogram(ref, bins)[0], np.histogram(cur, bins)[0])
    return out


def categorical(ref, cur, five):
    a, b = shares(ref.dropna(), cur.dropna())
    out = {"js": distance.jensenshannon(a, b)}
    if not five:
        return out
    out["psi"] = psi(a / a.sum(), b / b.sum())
    out["chi2"], out["p"] = stats.chi2_contingency(np.vstack([a, b]))[:2]
    return out


def main():
    variant, reference, current = sys.argv[1:]
    ref, cur = pd.read_csv(reference), pd.read_csv(current)
    for name in ref.columns:
        measure = numeric if pd.api.types.is_numeric_dtype(ref[name]) else categorical
        results = measure(ref[name], cur[name], variant == "five")
        print(name, *(f"{k}={v:.6g}" for k, v in results.items()))


if __name__ == "__main__":
    main()

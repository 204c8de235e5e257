"""scikit-learn, scipy and statsmodels: classification, tests, intervals and the bootstrap."""

import itertools
import math
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

import golden

TOLERANCE, LOOSE = 1e-9, 1e-7
warnings.simplefilter("ignore")  # degenerate cases are among the goldens


def mcc(y, p):
    return metrics.matthews_corrcoef(y, p)


def classification(f, c):
    y, p = c["y"], c["pred"]
    got = {
        "acc": metrics.accuracy_score(y, p),
        "mcc": mcc(y, p),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, p),
        "macro_f1": metrics.f1_score(y, p, average="macro", zero_division=0),
        "kappa": metrics.cohen_kappa_score(y, p),
    }
    if "f1_positive" in c:
        got["f1_positive"] = metrics.f1_score(y, p, zero_division=0)
        got["confusion_tn_fp_fn_tp"] = metrics.confusion_matrix(y, p, labels=[0, 1]).ravel()
    for key, value in got.items():
        f.near(key, value, c[key], TOLERANCE)


def overflow(f, c):
    y, p = [], []
    for key, (a, b) in {"tp": (1, 1), "tn": (0, 0), "fp": (0, 1), "fn": (1, 0)}.items():
        y += [a] * c["counts"][key]
        p += [b] * c["counts"][key]
    f.near("MCC of large counts", mcc(y, p), c["mcc"], TOLERANCE)


def thresholds(f, c):
    y, s = np.array(c["y"]), np.array(c["score"])
    distinct = np.unique(s)
    taus = (distinct[1:] + distinct[:-1]) / 2
    got = [mcc(y, s >= t) for t in taus]
    f.near("MCC of thresholds", got, c["mcc"], TOLERANCE)
    f.near("thresholds", taus, c["candidates"], TOLERANCE)
    best = max(got)
    f.near("best threshold", next(t for t, m in zip(taus, got) if m > best - 1e-12), c["best_tau"], TOLERANCE)


def mcnemars(f, c):
    b, n, table = c["b"], c["b"] + c["c"], [[0, c["b"]], [c["c"], 0]]
    f.near("McNemar, exact", mcnemar(table, exact=True).pvalue if n else 1, c["exact_p"], TOLERANCE)
    f.near("binomial test", stats.binomtest(b, n, 0.5).pvalue if n else 1, c["scipy_binomtest_p"], TOLERANCE)
    if n:
        k = min(b, c["c"])
        point = stats.binom.pmf(k, n, 0.5)
        mid = 1 - point if b == c["c"] else 2 * stats.binom.cdf(k, n, 0.5) - point
        f.near("McNemar, mid-p", mid, c["mid_p"], TOLERANCE)
        for key, correction in (("chi2_corrected", True), ("chi2", False)):
            r = mcnemar(table, exact=False, correction=correction)
            f.near(key, [r.statistic, r.pvalue], [c[key], c[key + "_p"]], TOLERANCE)


def fisher(f, c):
    f.near("Fisher", stats.fisher_exact(c["table"]).pvalue, c["fisher_p"], TOLERANCE)
    for key, correction in (("chi2", False), ("chi2_yates", True)):
        r = stats.chi2_contingency(c["table"], correction=correction)
        f.near(key, [r.statistic, r.pvalue], [c[key], c[key + "_p"]], TOLERANCE)


def permutation(f, c):
    if "a" in c:
        a, b = np.array(c["a"]), np.array(c["b"])
        observed = np.mean(a - b)
        every = [np.mean((a - b) * signs) for signs in itertools.product((1, -1), repeat=len(a))]
        r = stats.permutation_test((a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
                                   n_resamples=np.inf, vectorized=True)
        f.near("permutation test of scipy", r.pvalue, c["p_scipy_permutation_test"], TOLERANCE)
    else:
        y, p1, p2 = (np.array(c[k]) for k in ("y", "pred1", "pred2"))
        observed = mcc(y, p1) - mcc(y, p2)
        every = []
        for swap in itertools.product((False, True), repeat=len(y)):
            every.append(mcc(y, np.where(swap, p2, p1)) - mcc(y, np.where(swap, p1, p2)))
    f.near("observed difference", observed, c["observed"], TOLERANCE)
    share = np.mean(np.abs(every) >= abs(observed) - 1e-12)
    f.near("share of all permutations", share, c["p_enumerated"], TOLERANCE)


def tost(f, c):
    p, lower, upper = ttost_paired(np.array(c["a"]), np.array(c["b"]), -c["delta"], c["delta"])
    f.near("TOST", [p, *lower, *upper], [c[k] for k in ("p_tost", "t_lower", "p_lower", "df", "t_upper", "p_upper", "df")],
           LOOSE, relative=True)
    interval = stats.ttest_rel(c["a"], c["b"]).confidence_interval(0.9)
    f.near("interval of TOST", [*interval], c["ci90_mean_difference"], LOOSE)


class Stored(np.random.Generator):
    """Gives scipy.stats.bootstrap the stored indices for random ones."""

    def __init__(self, indices):
        super().__init__(np.random.PCG64(0))
        self.indices = np.array(indices)

    def integers(self, low, high=None, size=None, **_):
        if tuple(size) != self.indices.shape:
            raise SystemExit(f"scipy asks for {size} indices, {self.indices.shape} are stored")
        return self.indices


def bootstrap(f, c, indices):
    y = np.array(c["y"])
    predictions = [np.array(c[k]) for k in ("pred1", "pred2") if k in c]

    def statistic(y, *p):
        return mcc(y, p[0]) - (mcc(y, p[1]) if len(p) > 1 else 0)

    f.near("statistic", statistic(y, *predictions), c["theta_hat"], TOLERANCE)
    for method in ("percentile", "basic", "BCa"):
        for level in (0.95, 0.9) if method == "percentile" else (0.95,):
            r = stats.bootstrap((y, *predictions), statistic, paired=True, vectorized=False, n_resamples=c["B"],
                                confidence_level=level, method=method, rng=Stored(indices))
            key = "percentile_90_numpy_linear" if level == 0.9 else method.lower() + "_95"
            f.near(f"{method} interval", [*r.confidence_interval], c[key], LOOSE if method == "BCa" else TOLERANCE)
    f.near("replicates", r.bootstrap_distribution[:10], c["replicates_first10"], TOLERANCE)
    f.near("standard error", r.standard_error, c["se"], TOLERANCE)


def mcc_error(f, c):
    """A formula, not a peer: the delta method's variance of the MCC of a 2x2 table."""
    y, p = [1] * (c["tp"] + c["fn"]) + [0] * (c["tn"] + c["fp"]), []
    p += [1] * c["tp"] + [0] * c["fn"] + [0] * c["tn"] + [1] * c["fp"]
    r, n = mcc(y, p), len(y)
    f.near("MCC", r, c["mcc"], TOLERANCE)
    p1, q1, p2, q2 = np.mean(y), 1 - np.mean(y), np.mean(p), 1 - np.mean(p)
    a = (2 * p1 - 1) / math.sqrt(p1 * q1)
    b = (2 * p2 - 1) / math.sqrt(p2 * q2)
    var = (1 - r**2 + r * (1 + r**2 / 2) * a * b - 0.75 * r**2 * (a**2 + b**2)) / n
    f.near("standard error of the MCC (formula)", math.sqrt(var), c["se"], LOOSE)


def main():
    path = "stats/stats.json.gz"
    g, indices = golden.read(path), golden.read("stats/boot_indices.json.gz")
    with golden.File(path) as f:
        overflow(f, g["mcc_no_int64_overflow"])
        for c in g["classification"]:
            classification(f, c)
        for c in g["roc_auc"]:
            f.near("ROC AUC", metrics.roc_auc_score(c["y"], c["score"]), c["roc_auc"], TOLERANCE)
            f.near("average precision", metrics.average_precision_score(c["y"], c["score"]), c["average_precision"], TOLERANCE)
        for c in g["mcc_threshold"]["cases"]:
            thresholds(f, c)
        for c in g["mcnemar"]["cases"]:
            mcnemars(f, c)
        for c in g["cochran_q"]:
            r = cochrans_q(np.array(c["x"]))
            f.near("Cochran's Q", [r.statistic, r.pvalue, r.df], [c["q"], c["p"], c["df"]], TOLERANCE)
        for c in g["multiple_testing"]:
            for key, method in (("holm", "holm"), ("bonferroni", "bonferroni"), ("benjamini_hochberg", "fdr_bh")):
                f.near(key, multipletests(c["p"], method=method)[1], c[key], TOLERANCE)
        for c in g["proportion_ci"]["cases"]:
            for key in c:
                if key not in ("k", "n"):
                    method, level = key.rsplit("_", 1)
                    interval = proportion_confint(c["k"], c["n"], 1 - int(level) / 100, method)
                    f.near(key, [*interval], c[key], TOLERANCE)
        for c in g["fisher_chi2"]:
            fisher(f, c)
        for c in g["paired_permutation"]["cases"]:
            permutation(f, c)
        for c in g["tost_paired_t"]["cases"]:
            tost(f, c)
        for c in g["bootstrap"]["cases"]:
            bootstrap(f, c, indices[c["indices_key"]])
        for c in g["mcc_asymptotic_se"]:
            mcc_error(f, c)
    golden.done()


main()

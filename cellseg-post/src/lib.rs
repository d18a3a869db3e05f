//! From masks and probability maps to instance labels, per-cell statistics and scores.

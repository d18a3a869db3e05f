//! Progress bars on standard error for everything that takes longer than a moment.

use super::Common;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of `total` steps, hidden with `--json` and where standard error is no terminal.
pub(crate) fn bar(common: &Common, total: u64, what: &str) -> ProgressBar {
    let target = if common.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let template = "{prefix:>12} [{bar:30}] {pos}/{len} {elapsed} (about {eta} left) {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target)
        .with_style(style.progress_chars("=> "))
        .with_prefix(what.to_owned())
}

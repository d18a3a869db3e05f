//! Signals: asked to stop once, the work stops at the next safe point; asked twice, it stops at once.

use super::{Outcome, Result};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// The exit code of a program that was interrupted, as shells give it.
pub(crate) const EXIT_CODE: u8 = 130;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Listens for interrupts from now on.
pub(crate) fn listen() {
    let asked = ASKED.get_or_init(Arc::default);
    let listening = [SIGINT, SIGTERM].into_iter().try_for_each(|signal| {
        // In this order: the first signal only sets the flag, the second finds it set.
        flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), asked.clone())?;
        flag::register(signal, asked.clone()).map(drop)
    });
    if let Err(e) = listening {
        tracing::warn!("interrupts will stop the program at once: {e}");
    }
    // A limit on the size of files is to be an error of the write that meets it, not the end of the program.
    #[cfg(unix)]
    if let Err(e) = flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::warn!("a file that grows beyond the limit of the system will stop the program: {e}");
    }
}

/// Whether the user asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::SeqCst))
}

/// How a command ended that writes its results last and whole: with an error after the user asked to stop, it stopped.
pub(super) fn or_stopped(done: Result<Outcome>) -> Result<Outcome> {
    match done {
        Err(_) if asked() => Ok(Outcome::Interrupted),
        other => other,
    }
}

/// Refuses to go on if the user asked to stop.
pub(crate) fn keep_on() -> cellseg::io::Result<()> {
    if asked() { Err(cellseg::io::Error::Argument("interrupted".into())) } else { Ok(()) }
}

//! What a command says when it is done: one JSON object for machines, or lines for people.

use super::{Common, Result};
use cellseg::{Error, io::Overwrite};
use serde::Serialize;
use std::{io::Write, path::Path};

impl Common {
    /// What to do with outputs that exist.
    pub(crate) fn overwrite(&self) -> Overwrite {
        if self.force { Overwrite::Replace } else { Overwrite::Refuse }
    }

    /// Refuses an output that exists before any work is done.
    pub(crate) fn refuse_existing<'a>(&self, outputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        for path in outputs {
            if !self.force && path.exists() {
                return Err(Error::usage(format!(
                    "{} exists; choose another name, or replace it with --force",
                    path.display()
                )));
            }
            if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty() && !f.is_dir()) {
                return Err(Error::usage(format!(
                    "the folder {} of the output {} does not exist; make it first",
                    folder.display(),
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Prints `report` as JSON with `--json`, and what `text` writes otherwise.
    pub(crate) fn report(
        &self,
        report: &impl Serialize,
        text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer(&mut out, report).map_err(std::io::Error::from).and_then(|()| writeln!(out))
        } else {
            text(&mut out)
        };
        match written.and_then(|()| out.flush()) {
            // Whoever read the output has had enough of it.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::usage(format!("cannot write to standard output: {e}"))),
        }
    }
}

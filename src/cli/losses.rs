//! The course of a training as a CSV file beside its weights.

use super::Result;
use cellseg::{
    Error,
    io::{Overwrite, atomic_write},
    models::train::{StepReport, ValidationReport},
};
use std::{io::Write, path::PathBuf};

/// One line for each step, written whole at each checkpoint.
pub(crate) struct Losses {
    path: PathBuf,
    /// The names of the columns, which the first step tells.
    header: String,
    lines: Vec<String>,
}

impl Losses {
    /// An empty course.
    pub(crate) fn new(path: PathBuf) -> Self {
        Losses { path, header: String::new(), lines: Vec::new() }
    }

    /// The course up to `step` of a training that goes on. What was written after the checkpoint will come again.
    pub(crate) fn up_to(path: PathBuf, step: u64) -> Result<Self> {
        let before =
            |line: &&str| line.split(',').next().and_then(|n| n.parse().ok()).is_some_and(|n: u64| n <= step);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::usage(format!("cannot read {}: {e}", path.display()))),
        };
        Ok(Losses {
            path,
            header: text.lines().next().unwrap_or_default().to_owned(),
            lines: text.lines().filter(before).map(str::to_owned).collect(),
        })
    }

    /// Adds a step.
    pub(crate) fn step(&mut self, r: &StepReport) {
        let names: String = r.terms.iter().map(|(name, _)| format!("{name},")).collect();
        self.header = format!("step,{names}loss,gradient_norm,learning_rate,dice");
        let terms: String = r.terms.iter().map(|(_, value)| format!("{value},")).collect();
        self.lines.push(format!("{},{terms}{},{},{},", r.step, r.loss, r.gradient_norm, r.learning_rate));
    }

    /// Adds a validation to the last step.
    pub(crate) fn validation(&mut self, r: &ValidationReport) {
        if let (Some(line), Some(dice)) = (self.lines.last_mut(), r.dice) {
            line.push_str(&dice.to_string());
        }
    }

    /// Writes the course so far.
    pub(crate) fn save(&self) -> Result<()> {
        let write = |file: &mut dyn Write| {
            writeln!(file, "{}", self.header)?;
            self.lines.iter().try_for_each(|line| writeln!(file, "{line}"))
        };
        atomic_write(&self.path, Overwrite::Replace, |file| write(file))?;
        Ok(())
    }
}

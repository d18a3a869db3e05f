//! Training as data: what it takes to go on as if nothing had happened.

use super::{
    config::TrainConfig,
    objective::Objective,
    self_supervised::SelfSupervised,
    supervised::{Supervised, SupervisedConfig},
    trainer::Progress,
};
use crate::{Error, Network, Result, WNet3d, infer::Inference, weights::State};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The kinds of arrays in a checkpoint, by what their names start with. Weights have their plain names.
pub(super) const FIRST_MOMENT: &str = "adam.exp_avg.";
pub(super) const SECOND_MOMENT: &str = "adam.exp_avg_sq.";
pub(super) const BEST: &str = "best.";

/// Training after some step: weights, the optimiser's moments, the best weights so far, and all that decides what comes
/// next. Named arrays and text, for any file format that holds both, such as safetensors.
///
/// Random numbers are a function of the seed and the step, so the step is all of their state. Training that goes on from
/// a checkpoint has the same bits as training that never stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    arrays: State,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    pub(super) fn new<O: Objective>(arrays: State, objective: &O, progress: &Progress) -> Result<Self> {
        let metadata = [
            ("format", O::FORMAT.to_owned()),
            ("config", to_json(objective.config())?),
            ("progress", to_json(progress)?),
            ("volumes", to_json(&objective.volumes())?),
        ];
        let metadata = metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        Ok(Checkpoint { arrays, metadata })
    }

    /// A checkpoint from what [`Checkpoint::arrays`] and [`Checkpoint::metadata`] gave out.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where this is something else.
    pub fn from_parts(arrays: State, metadata: BTreeMap<String, String>) -> Result<Self> {
        let checkpoint = Checkpoint { arrays, metadata };
        match checkpoint.text("format") {
            Ok(SelfSupervised::FORMAT | Supervised::FORMAT) => {}
            Ok(other) => {
                return Err(Error::Checkpoint(format!(
                    "its format is `{other}`; this version reads `{}` and `{}`",
                    SelfSupervised::FORMAT,
                    Supervised::FORMAT
                )));
            }
            Err(_) => {
                let why = "the file says nothing of a format: it holds weights without the state of training; \
                           start a new training from them";
                return Err(Error::Checkpoint(why.to_owned()));
            }
        }
        checkpoint.inference()?;
        checkpoint.progress()?;
        Ok(checkpoint)
    }

    /// All arrays: weights under their own names, best weights and moments under prefixed ones.
    pub fn arrays(&self) -> &State {
        &self.arrays
    }

    /// All text: format, settings, progress.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Whether labels are learnt from.
    pub fn is_supervised(&self) -> bool {
        self.text("format").is_ok_and(|format| format == Supervised::FORMAT)
    }

    /// The settings of a training without labels.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where they cannot be read, or where the training is one with labels.
    pub fn config(&self) -> Result<TrainConfig> {
        self.config_of::<SelfSupervised<'_, '_>>()
    }

    /// The settings of a training with labels.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where they cannot be read, or where the training is one without labels.
    pub fn supervised_config(&self) -> Result<SupervisedConfig> {
        self.config_of::<Supervised<'_>>()
    }

    fn config_of<O: Objective>(&self) -> Result<O::Config> {
        let format = self.text("format")?;
        if format == O::FORMAT {
            return self.json("config");
        }
        let why = format!(
            "its format is `{format}` where `{}` is expected: go on with the kind of training \
                           that it is of, with or without labels",
            O::FORMAT
        );
        Err(Error::Checkpoint(why))
    }

    /// How the network of [`Checkpoint::weights`] is to be used.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the settings cannot be read.
    pub fn inference(&self) -> Result<Inference> {
        if self.is_supervised() {
            return Ok(self.supervised_config()?.inference());
        }
        Ok(self.config()?.inference())
    }

    /// How many steps are done.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where that cannot be read.
    pub fn step(&self) -> Result<u64> {
        Ok(self.progress()?.step)
    }

    /// The best Dice score of a validation, where there were labels.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where that cannot be read.
    pub fn best_dice(&self) -> Result<Option<f64>> {
        Ok(self.progress()?.best_dice())
    }

    /// The weights to use: the best ones where there were labels to tell, else those of the last step.
    pub fn weights(&self) -> State {
        let best = self.part(BEST);
        if best.is_empty() { self.last_weights() } else { best }
    }

    /// The network with [`Checkpoint::weights`].
    ///
    /// # Errors
    /// [`Error::Weights`] where they are incomplete or not of a WNet3D; see [`Checkpoint::network_and_use`].
    pub fn network(&self) -> Result<WNet3d> {
        WNet3d::from_state(&self.weights())
    }

    /// The network with [`Checkpoint::weights`], of either kind of training, and how it is to be used. Of a training with
    /// labels it is the network that its settings say.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the settings cannot be read, [`Error::Weights`] where the weights are incomplete or of another
    /// network.
    pub fn network_and_use(&self) -> Result<(Box<dyn Network>, Inference)> {
        let network = if self.is_supervised() {
            self.supervised_config()?.network.with_weights(&self.weights())?
        } else {
            self.network()?.into()
        };
        Ok((network, self.inference()?))
    }

    /// The weights of the last step.
    pub(super) fn last_weights(&self) -> State {
        let other = |name: &str| [FIRST_MOMENT, SECOND_MOMENT, BEST].iter().any(|p| name.starts_with(p));
        self.arrays.iter().filter(|(n, _)| !other(n)).map(|(n, a)| (n.clone(), a.clone())).collect()
    }

    /// The arrays of one kind, under their plain names.
    pub(super) fn part(&self, prefix: &str) -> State {
        let of = |(name, a): (&String, &_)| {
            let a: &ndarray::ArrayD<f32> = a;
            name.strip_prefix(prefix).map(|n| (n.to_owned(), a.clone()))
        };
        self.arrays.iter().filter_map(of).collect()
    }

    pub(super) fn progress(&self) -> Result<Progress> {
        self.json("progress")
    }

    pub(super) fn volumes(&self) -> Result<Vec<[usize; 3]>> {
        self.json("volumes")
    }

    fn text(&self, key: &str) -> Result<&str> {
        let missing = || Error::Checkpoint(format!("its metadata lacks `{key}`; the file is damaged"));
        self.metadata.get(key).map(String::as_str).ok_or_else(missing)
    }

    fn json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let damaged = |e| Error::Checkpoint(format!("its metadata `{key}` cannot be read ({e})"));
        serde_json::from_str(self.text(key)?).map_err(damaged)
    }
}

fn to_json(x: &impl Serialize) -> Result<String> {
    serde_json::to_string(x).map_err(|e| Error::Checkpoint(format!("its settings cannot be written ({e})")))
}

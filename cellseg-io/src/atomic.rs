//! Files that appear whole or not at all.
//!
//! Everything in this crate is written through [`AtomicFile`]: into a temporary file in the folder of the
//! target, synchronised to the disk, then renamed. A full disk, a crash or an interrupt leaves the target as
//! it was.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// What to do with an output that exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Fail with [`Error::Exists`].
    #[default]
    Refuse,
    /// Put the new file in its place, once the new file is complete.
    Replace,
}

/// A file being written under a temporary name; [`commit`](Self::commit) gives it its real one.
///
/// Dropped without a commit, it removes what was written.
#[derive(Debug)]
pub struct AtomicFile {
    writer: BufWriter<NamedTempFile>,
    target: PathBuf,
    overwrite: Overwrite,
}

impl AtomicFile {
    /// Starts a file that will be named `path`.
    ///
    /// An existing output is refused here already, before any work is done, and again at the commit.
    ///
    /// # Errors
    /// [`Error::Exists`] if `path` exists and is not to be replaced, [`Error::Argument`] if `path` is there
    /// but is no regular file or has no file name, [`Error::Write`] if its folder cannot be written to.
    pub fn create(path: impl AsRef<Path>, overwrite: Overwrite) -> Result<Self> {
        let path = path.as_ref();
        let Some(file_name) = path.file_name() else {
            return Err(Error::Argument(format!("{} names no file; give an output file", path.display())));
        };
        // A symbolic link stays a link: the file that it points to is replaced.
        let target = if path.is_symlink() {
            fs::canonicalize(path).map_err(|e| Error::write(path, e))?
        } else {
            path.into()
        };
        if let Ok(found) = fs::symlink_metadata(&target) {
            if !found.is_file() {
                let path = path.display();
                return Err(Error::Argument(format!(
                    "{path} is a folder or a device, not a file; give the name of a file to write"
                )));
            }
            refuse_existing(&target, overwrite)?;
        }
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(file_name);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        // Temporary files are private by default; an output is as readable as the user's umask makes any
        // other.
        #[cfg(unix)]
        builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
        let temporary = builder.tempfile_in(folder).map_err(|e| Error::write(path, e))?;
        Ok(Self { writer: BufWriter::with_capacity(1 << 20, temporary), target, overwrite })
    }

    /// Synchronises the file to the disk and gives it its name.
    ///
    /// # Errors
    /// [`Error::Write`] if the disk is full or the rename fails, [`Error::Exists`] if a file of that name has
    /// appeared meanwhile; the temporary file is removed in both cases.
    pub fn commit(self) -> Result<()> {
        let Self { writer, target, overwrite } = self;
        let temporary = writer.into_inner().map_err(|e| Error::write(&target, e.into_error()))?;
        temporary.as_file().sync_all().map_err(|e| Error::write(&target, e))?;
        match overwrite {
            Overwrite::Replace => temporary.persist(&target),
            Overwrite::Refuse => temporary.persist_noclobber(&target),
        }
        .map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: target.clone() },
            _ => Error::write(&target, e.error),
        })?;
        sync_folder(&target);
        Ok(())
    }

    /// The name that the file will have.
    pub fn target(&self) -> &Path {
        &self.target
    }
}

/// Makes the rename itself durable, where the system lets folders be synchronised.
fn sync_folder(target: &Path) {
    if let Some(folder) = target.parent()
        && let Ok(folder) = File::open(folder)
        && let Err(error) = folder.sync_all()
    {
        tracing::debug!(%error, "the folder of {} was not synchronised", target.display());
    }
}

fn refuse_existing(path: &Path, overwrite: Overwrite) -> Result<()> {
    match overwrite {
        Overwrite::Refuse => Err(Error::Exists { path: path.into() }),
        Overwrite::Replace => Ok(()),
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.writer.seek(position)
    }
}

/// Writes `path` whole or not at all: `content` fills it, and only if that succeeds does the file appear.
///
/// # Errors
/// As [`AtomicFile::create`] and [`AtomicFile::commit`]; an error of `content` becomes [`Error::Write`].
pub fn atomic_write(
    path: impl AsRef<Path>,
    overwrite: Overwrite,
    content: impl FnOnce(&mut AtomicFile) -> io::Result<()>,
) -> Result<()> {
    let mut file = AtomicFile::create(&path, overwrite)?;
    content(&mut file).map_err(|e| Error::write(path.as_ref(), e))?;
    file.commit()
}

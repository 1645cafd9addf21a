//! Files with a secret in them: only their owner may be able to read them.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::ConfigError;

/// Opens a file that holds a secret. Refuses one that group or others may read, write or run.
pub fn open_secret_file(path: &Path) -> Result<File, ConfigError> {
    // The mode is asked of the open file: the path could lead to another one a moment later.
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| refusal(format!("{}: {error}", path.display())))?;
    match too_open(path, &metadata) {
        Some(problem) => Err(refusal(problem)),
        None => Ok(file),
    }
}

/// The first line of such a file. Refuses what [`open_secret_file`] refuses, and an empty line.
pub fn read_secret_file(path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let read = open_secret_file(path)?.read_to_string(&mut text);
    read.map_err(|error| refusal(format!("{}: {error}", path.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(refusal(format!("{}: its first line is empty, wanted a secret", path.display()))),
    }
}

/// What is wrong with the permissions of a file that exists. A missing one is no problem yet: the key is made at the
/// first start, and a password may be deleted after it.
pub(super) fn readable_by_others(path: &Path) -> Option<String> {
    too_open(path, &fs::metadata(path).ok()?)
}

fn too_open(path: &Path, metadata: &Metadata) -> Option<String> {
    // systemd lets the service in through an ACL, which shows as group permission; the directory keeps others out.
    let forbidden = if path.starts_with("/run/credentials") { 0o007 } else { 0o077 };
    let mode = metadata.permissions().mode() & 0o7777;
    let name = path.display();
    (mode & forbidden != 0)
        .then(|| format!("{name} has mode {mode:04o}, wanted one for its owner only; run `chmod 600 {name}`"))
}

fn refusal(problem: String) -> ConfigError {
    ConfigError { problems: vec![problem] }
}

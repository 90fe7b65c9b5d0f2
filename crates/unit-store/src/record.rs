//! The record that commits a finished unit.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dir::{Kind, UnitDir, is_executable};
use crate::{Digest, FORMAT, Key};

/// What `unit.json` says of a finished unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The [`FORMAT`] that it was written in.
    pub format: u32,
    /// The unit's whole key.
    pub key: Key,
    /// What people call the unit: package, version and what was built of it.
    pub unit: String,
    /// What a dependent sees of the unit.
    pub identity: Digest,
    /// The builds that the unit was made against, one for each direct dependency.
    pub dependencies: Vec<Dependency>,
    /// Inputs that the unit was seen to read.
    pub observed: Vec<Observed>,
    /// Every file of the unit but the record.
    pub outputs: Vec<Output>,
}

/// A build that a unit was made against.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dependency {
    /// The dependency's key.
    pub key: Key,
    /// The identity that the dependency had.
    pub identity: Digest,
}

/// An input that is known only after a unit was built.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Observed {
    /// An environment variable, with the digest of its value or `None` if it was not set.
    Env {
        /// Name of the variable.
        name: String,
        /// Digest of its value.
        value: Option<Digest>,
    },
    /// A file or directory, with the digest of its contents or `None` if it did not exist.
    File {
        /// Absolute path.
        path: PathBuf,
        /// Digest of the contents, see [`Digest::of_tree`].
        digest: Option<Digest>,
    },
    /// Sources of which the key says only what they should be.
    Sources {
        /// Digest of what they were.
        digest: Digest,
        /// Whether they were what the key says. Older records have a field `pristine` that counts mirrors of crates.io as well, and
        /// isn't read.
        #[serde(rename = "of-crates-io", default)]
        pristine: bool,
    },
    /// The unit has a path in it that is of a dependency, which has to be there.
    Dependency {
        /// Key of the dependency.
        key: Key,
        /// Absolute path of the directory with what it produced.
        path: PathBuf,
    },
    /// The unit has its own directory's path in it, and is right only there.
    Location {
        /// Absolute path of the unit's directory.
        path: PathBuf,
    },
}

/// A file that a unit consists of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Output {
    /// Path in the unit's directory, with `/` between its parts. A part that is not Unicode, or
    /// has a `%` in it, has those bytes as `%` and two hexadecimal digits. Of directories only
    /// empty ones are listed, with a `/` at the end.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the contents, or of the target's name for a symbolic link.
    pub digest: Digest,
    /// Whether it is a program, where the platform has a permission to run one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Why a record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be read.
    #[error("failed to read the record")]
    Read(#[source] io::Error),
    /// The file is not a record.
    #[error("the record is damaged")]
    Parse(#[source] serde_json::Error),
    /// It was written by another version.
    #[error("the record has format {0}, expected {FORMAT}")]
    Format(u32),
    /// It stands at the place of another key.
    #[error("the record is of another unit, with key {0}")]
    Key(Key),
    /// The unit is said to be somewhere else.
    #[error("`{}` is a symbolic link", .0.display())]
    Link(PathBuf),
    /// Something else is where the unit has a file or directory: a symbolic link, a pipe.
    #[error("`{}` is not what belongs there", .0.display())]
    Foreign(PathBuf),
    /// A file of the unit is missing or has changed.
    #[error("output `{path}` is missing or does not have its {size} bytes")]
    Output {
        /// The file, relative to the unit's directory.
        path: String,
        /// The size that it should have.
        size: u64,
    },
}

impl Record {
    /// File name of the record in a unit's directory.
    pub const FILE_NAME: &str = "unit.json";

    /// Reads the record of the unit in `dir` and checks that it is of `key` and that all outputs
    /// are there in their sizes.
    ///
    /// Returns `None` if there is no record, as for a unit that is being built.
    ///
    /// # Errors
    ///
    /// The unit looks finished, but can't be used.
    pub fn read(dir: &Path, key: Key) -> Result<Option<Record>, RecordError> {
        Record::read_in(&UnitDir::at(dir), key)
    }

    pub(crate) fn read_in(dir: &UnitDir<'_>, key: Key) -> Result<Option<Record>, RecordError> {
        let bytes = match dir.read(Record::FILE_NAME.as_ref()) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(RecordError::Foreign(dir.join(Record::FILE_NAME)));
            }
            Err(error) => return Err(RecordError::Read(error)),
        };
        // The format first: everything else may look different in another one.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // Whether it is Unicode is looked at once, not for each string.
        let parsed = match std::str::from_utf8(&bytes) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(&bytes),
        };
        let record: Record = match parsed {
            Ok(record) => record,
            Err(error) => {
                return Err(match serde_json::from_slice(&bytes) {
                    Ok(Format { format }) if format != FORMAT => RecordError::Format(format),
                    _ => RecordError::Parse(error),
                });
            }
        };
        if record.format != FORMAT {
            return Err(RecordError::Format(record.format));
        }
        if record.key != key {
            return Err(RecordError::Key(record.key));
        }
        let mut presence = Presence::of(dir);
        // They are used by their names, whether or not the record has them.
        for name in ["messages", "out", "run"] {
            if !presence.check_part(name) {
                return Err(RecordError::Foreign(dir.join(name)));
            }
        }
        for output in &record.outputs {
            if !presence.has(output) {
                return Err(RecordError::Output {
                    path: output.path.clone(),
                    size: output.size,
                });
            }
        }
        Ok(Some(record))
    }
}

/// Which outputs there are in a unit's directory.
struct Presence<'a> {
    /// The unit's directory.
    dir: &'a UnitDir<'a>,
    /// Directories in it that were looked at already.
    parents: BTreeSet<OsString>,
}

impl<'a> Presence<'a> {
    fn of(dir: &'a UnitDir<'a>) -> Presence<'a> {
        // The outputs of most units are in `out`.
        Presence {
            dir,
            parents: BTreeSet::from([OsString::new()]),
        }
    }

    /// Fails if `name` is there and neither a file nor a directory.
    fn check_part(&mut self, name: &str) -> bool {
        match self.dir.look(name.as_ref()) {
            Ok(Kind::Dir) => {
                self.parents.insert(name.into());
                true
            }
            Ok(Kind::Link | Kind::Other) => false,
            Ok(Kind::File { .. }) | Err(_) => true,
        }
    }

    /// Whether `output` is there, and not by way of a symbolic link that was not there when the
    /// record was written.
    fn has(&mut self, output: &Output) -> bool {
        let (name, is_dir) = match output.path.strip_suffix('/') {
            // With the `/`, a link would be followed.
            Some(name) => (name, true),
            None => (&*output.path, false),
        };
        let Some(path) = decode(name) else {
            return true;
        };
        let path = Path::new(&path);
        // Elsewhere there are no outputs of this unit.
        let is_below = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !path.components().all(is_below) {
            return false;
        }
        let mut above = path.parent();
        while let Some(parent) = above
            && !self.parents.contains(parent.as_os_str())
        {
            if !self.dir.has_dir(parent) {
                return false;
            }
            self.parents.insert(parent.into());
            above = parent.parent();
        }
        match self.dir.look(path) {
            Ok(Kind::Dir) => is_dir,
            Ok(Kind::Link) => {
                let target = fs::read_link(self.dir.join(path));
                !is_dir && target.is_ok_and(|target| digest_of_link(&target) == output.digest)
            }
            Ok(Kind::File {
                size,
                is_executable,
            }) => !is_dir && size == output.size && (!output.executable || is_executable),
            Ok(Kind::Other) | Err(_) => false,
        }
    }
}

/// Lists the files of the unit in `dir`, but for its record, with their digests.
///
/// # Errors
///
/// A file can't be read.
pub fn scan_outputs(dir: &Path) -> io::Result<Vec<Output>> {
    let mut outputs = Vec::new();
    scan(dir, "", &mut outputs)?;
    outputs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(outputs)
}

fn scan(dir: &Path, prefix: &str, outputs: &mut Vec<Output>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{prefix}{}", encode(&entry.file_name()));
        let file_type = entry.file_type()?;
        if file_type.is_dir() {
            let path = format!("{path}/");
            let count = outputs.len();
            scan(&entry.path(), &path, outputs)?;
            if outputs.len() == count {
                outputs.push(Output {
                    path,
                    size: 0,
                    digest: Digest::of_bytes(""),
                    executable: false,
                });
            }
            continue;
        }
        let mut executable = false;
        let (digest, size) = if file_type.is_symlink() {
            (digest_of_link(&fs::read_link(entry.path())?), 0)
        } else if file_type.is_file() {
            executable = cfg!(unix) && is_executable(&entry.metadata()?);
            Digest::of_file(&entry.path())?
        } else {
            // A pipe or socket: reading it may block, and copies of the root don't have it.
            continue;
        };
        outputs.push(Output {
            path,
            size,
            digest,
            executable,
        });
    }
    Ok(())
}

fn digest_of_link(target: &Path) -> Digest {
    Digest::of_bytes(target.as_os_str().as_encoded_bytes())
}

fn encode(name: &OsStr) -> String {
    let mut encoded = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        encoded.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}

/// The path that [`encode`] was given, or `None` where the platform has no way to make it again.
fn decode(path: &str) -> Option<Cow<'_, OsStr>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path.as_ref()));
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    #[cfg(unix)]
    let path = Some(std::os::unix::ffi::OsStringExt::from_vec(bytes));
    #[cfg(not(unix))]
    let path = String::from_utf8(bytes).ok().map(OsString::from);
    path.map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyBuilder;
    use crate::dir::ways;

    /// Which of `outputs` are there, however one looks.
    fn are_present(dir: &Path, outputs: &[Output]) -> Vec<bool> {
        let found = ways(dir).map(|unit| {
            let mut presence = Presence::of(&unit);
            Vec::from_iter(outputs.iter().map(|output| presence.has(output)))
        });
        found
            .into_iter()
            .reduce(|a, b| {
                assert_eq!(a, b);
                a
            })
            .expect("some way")
    }

    #[test]
    fn what_older_records_say_of_sources_is_not_taken_for_crates_io() {
        let digest = Digest::of_bytes("files");
        for (field, is_pristine) in [("pristine", false), ("of-crates-io", true)] {
            let text = format!(r#"{{"kind":"sources","digest":"{digest}","{field}":true}}"#);
            let observed: Observed = serde_json::from_str(&text).expect("an input");
            let pristine = is_pristine;
            assert_eq!(observed, Observed::Sources { digest, pristine }, "{field}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_were_planted_are_noticed() {
        use std::os::unix::fs::symlink;

        let (dir, elsewhere) = (tempfile::tempdir(), tempfile::tempdir());
        let (dir, elsewhere) = (dir.expect("temp dir"), elsewhere.expect("temp dir"));
        let (dir, elsewhere) = (dir.path(), elsewhere.path());
        fs::create_dir(dir.join("out")).expect("mkdir");
        fs::write(dir.join("out/file"), "1").expect("write");
        symlink("file", dir.join("out/link")).expect("symlink");
        fs::create_dir(dir.join("out/empty")).expect("mkdir");
        let outputs = scan_outputs(dir).expect("scan");
        let are_present = || are_present(dir, &outputs);
        assert_eq!(are_present(), [true, true, true]);

        fs::write(elsewhere.join("file"), "1").expect("write");
        fs::remove_file(dir.join("out/link")).expect("remove");
        symlink(elsewhere.join("file"), dir.join("out/link")).expect("symlink");
        assert_eq!(are_present(), [true, true, false]);
        fs::remove_file(dir.join("out/file")).expect("remove");
        symlink(elsewhere.join("file"), dir.join("out/file")).expect("symlink");
        assert_eq!(are_present(), [true, false, false]);
        fs::remove_dir(dir.join("out/empty")).expect("remove");
        symlink(elsewhere, dir.join("out/empty")).expect("symlink");
        assert_eq!(are_present(), [false, false, false]);
        fs::create_dir(elsewhere.join("empty")).expect("mkdir");
        fs::remove_dir_all(dir.join("out")).expect("remove");
        symlink(elsewhere, dir.join("out")).expect("symlink");
        assert_eq!(are_present(), [false, false, false]);
    }

    #[cfg(unix)]
    #[test]
    fn only_files_and_directories_are_used() {
        use std::os::unix::fs::symlink;
        use std::os::unix::net::UnixListener;

        let key = KeyBuilder::new().key();
        let (dir, elsewhere) = (tempfile::tempdir(), tempfile::tempdir());
        let (dir, elsewhere) = (dir.expect("temp dir"), elsewhere.expect("temp dir"));
        let record = Record {
            format: FORMAT,
            key,
            unit: "p".to_owned(),
            identity: Digest::of_bytes("p"),
            dependencies: Vec::new(),
            observed: Vec::new(),
            outputs: Vec::new(),
        };
        let (path, kept) = (dir.path().join("unit.json"), elsewhere.path().join("r"));
        fs::write(&path, serde_json::to_vec(&record).expect("json")).expect("write");
        let read = || {
            let read = ways(dir.path()).map(|unit| Record::read_in(&unit, key));
            let [first, second] = read;
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            first
        };
        assert_eq!(read().expect("valid"), Some(record));

        fs::create_dir(dir.path().join("out")).expect("mkdir");
        fs::write(dir.path().join("messages"), "").expect("write");
        read().expect("what there may be");
        for name in ["messages", "out", "run"] {
            let path = dir.path().join(name);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            symlink(elsewhere.path(), &path).expect("symlink");
            let error = read().expect_err("it leads elsewhere");
            assert!(matches!(&error, RecordError::Foreign(it) if *it == path));
            fs::remove_file(&path).expect("remove");
            drop(UnixListener::bind(&path).expect("socket"));
            read().expect_err("it is no file");
            fs::remove_file(&path).expect("remove");
        }

        fs::rename(&path, &kept).expect("rename");
        assert_eq!(read().expect("no record"), None);
        symlink(&kept, &path).expect("symlink");
        assert!(matches!(read(), Err(RecordError::Foreign(it)) if it == path));
        fs::remove_file(&path).expect("remove");
        drop(UnixListener::bind(&path).expect("socket"));
        assert!(matches!(read(), Err(RecordError::Foreign(it)) if it == path));
        fs::remove_file(&path).expect("remove");
        // Not read at all: there need be no disk for all that a sparse file says it has.
        let large = fs::File::create_new(&path).expect("create");
        large.set_len(1 << 40).expect("sparse");
        assert!(matches!(read(), Err(RecordError::Foreign(it)) if it == path));
    }

    #[test]
    fn outputs_are_in_the_unit() {
        let dir = tempfile::tempdir().expect("temp dir");
        let unit = dir.path().join("unit");
        fs::create_dir(&unit).expect("mkdir");
        fs::write(dir.path().join("file"), "x").expect("write");
        fs::write(unit.join("file"), "x").expect("write");
        let is_present = |path: &Path| {
            let output = Output {
                path: path.to_str().expect("unicode").to_owned(),
                size: 1,
                digest: Digest::of_bytes("x"),
                executable: false,
            };
            are_present(&unit, &[output]) == [true]
        };
        assert!(is_present(Path::new("file")));
        assert!(!is_present(Path::new("../file")));
        assert!(!is_present(&dir.path().join("file")));
    }

    #[cfg(unix)]
    #[test]
    fn programs_can_be_run() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("program");
        fs::write(&path, "x").expect("write");
        for (mode, then, is_present) in [
            (0o755, 0o755, true),
            (0o755, 0o555, true),
            (0o755, 0o644, false),
            (0o644, 0o644, true),
            (0o644, 0o755, true),
        ] {
            let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            set(mode).expect("chmod");
            let outputs = scan_outputs(dir.path()).expect("scan");
            set(then).expect("chmod");
            let found = are_present(dir.path(), &outputs);
            assert_eq!(found, [is_present], "{mode:o} {then:o}");
        }
    }

    #[test]
    fn names_of_all_kinds_come_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir(dir.path().join("a%b")).expect("mkdir");
        fs::write(dir.path().join("a%b/ü"), "x").expect("write");
        #[cfg(unix)]
        {
            let name: OsString = std::os::unix::ffi::OsStringExt::from_vec(b"\xff".to_vec());
            fs::write(dir.path().join(name), "y").expect("write");
        }
        for output in scan_outputs(dir.path()).expect("scan") {
            let larger = Output {
                size: 2,
                ..output.clone()
            };
            let found = are_present(dir.path(), &[output, larger.clone()]);
            assert_eq!(found, [true, false], "{}", larger.path);
        }
    }
}

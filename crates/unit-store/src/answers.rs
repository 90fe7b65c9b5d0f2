//! What a program said of itself, kept beside the units that it made.
//!
//! Nothing needs this: who finds nothing asks the program. So there is no lock, no error for a
//! reader, and of several that write at once the last one wins.

use std::fs;
use std::path::Path;

use memchr::memmem;

use crate::dir::read_file;
use crate::root::write_by_rename;
use crate::{Digest, Key, Root, WriteError};

const DIR: &str = "answers";

/// How many programs a root knows at most. Those of which nothing was kept for longest are forgotten.
const MAX_PROGRAMS: usize = 256;

/// The largest file of answers, and the largest program, that is looked at, in bytes.
const MAX_SIZE: u64 = 1 << 24;

/// Whether the program at `path` has `text` in it, such as the name of a library that it is linked to.
/// `false` if it can't be read or is too large to be looked through in no time.
pub fn contains(path: &Path, text: &str) -> bool {
    let is_small = path.metadata().is_ok_and(|meta| meta.len() <= MAX_SIZE);
    is_small && fs::read(path).is_ok_and(|bytes| memmem::find(&bytes, text.as_bytes()).is_some())
}

impl Root {
    /// What [`keep_answers`](Root::keep_answers) kept of the program `of`, if it is whole.
    ///
    /// A file has the digest of the text, a line feed, and the text.
    pub fn answers(&self, of: Key) -> Option<String> {
        let path = self.path().join(DIR).join(of.dir_name());
        let is_small = path.metadata().is_ok_and(|meta| meta.len() <= MAX_SIZE);
        if !is_small || self.link_to(&path).is_some() {
            return None;
        }
        let bytes = read_file(&path).ok()?;
        let (digest, text) = std::str::from_utf8(&bytes).ok()?.split_once('\n')?;
        (Digest::of_bytes(text).to_string() == digest).then(|| text.to_owned())
    }

    /// Keeps `text` of the program `of`, in place of what was kept before.
    ///
    /// # Errors
    ///
    /// The root can't be written.
    pub fn keep_answers(&self, of: Key, text: &str) -> Result<(), WriteError> {
        let dir = self.path().join(DIR);
        let name = of.dir_name();
        self.check_present()?;
        self.check_links(&dir)?;
        fs::create_dir_all(&dir).map_err(WriteError::new(&dir))?;
        if !dir.join(&name).exists() {
            let files = fs::read_dir(&dir).map_err(WriteError::new(&dir))?;
            let mut files: Vec<_> = files
                .filter_map(|entry| {
                    let path = entry.ok()?.path();
                    Some((path.symlink_metadata().ok()?.modified().ok()?, path))
                })
                .collect();
            files.sort();
            for (_, path) in &files[..(files.len() + 1).saturating_sub(MAX_PROGRAMS)] {
                // What can't be removed does no harm.
                let _ = fs::remove_file(path);
            }
        }
        let contents = format!("{}\n{text}", Digest::of_bytes(text));
        write_by_rename(&dir, &name, contents.as_bytes()).map_err(WriteError::new(&dir))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::KeyBuilder;

    fn key(name: &str) -> Key {
        KeyBuilder::new().field("name", name).key()
    }

    #[test]
    fn damage_is_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        let of = key("rustc");
        assert_eq!(root.answers(of), None);
        root.keep_answers(of, "one\ntwo").expect("written");
        root.keep_answers(of, "one\nthree").expect("written again");
        assert_eq!(root.answers(of).as_deref(), Some("one\nthree"));
        assert_eq!(root.answers(key("gcc")), None);

        let path = root.path().join(DIR).join(of.dir_name());
        let whole = fs::read_to_string(&path).expect("readable");
        for damaged in ["", &whole[..whole.len() - 1], &whole.replace("one", "two")] {
            fs::write(&path, damaged).expect("writable");
            assert_eq!(root.answers(of), None, "{damaged}");
        }
    }

    #[test]
    fn no_more_programs_than_that() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        for number in 0..MAX_PROGRAMS {
            let of = key(&number.to_string());
            root.keep_answers(of, "text").expect("written");
            let path = root.path().join(DIR).join(of.dir_name());
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            let file = fs::File::options().append(true).open(path).expect("file");
            file.set_modified(time).expect("time");
        }
        let known = |name: &str| root.answers(key(name)).is_some();
        assert!(known("0") && known("1") && known("255"));
        root.keep_answers(key("more"), "text").expect("written");
        assert!(!known("0") && known("1") && known("255") && known("more"));
    }

    #[test]
    fn what_is_too_large_is_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        root.keep_answers(key("rustc"), "text").expect("written");
        let path = root.path().join(DIR).join(key("rustc").dir_name());
        assert!(contains(&path, "tex") && !contains(&path, "texts"));
        let file = fs::File::options().append(true).open(&path).expect("file");
        file.set_len(MAX_SIZE + 1).expect("sparse");
        assert!(!contains(&path, "tex"));
        assert_eq!(root.answers(key("rustc")), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        let other = Root::create(&dir.path().join("other"), "test").expect("root");
        let of = key("rustc");
        other.keep_answers(of, "text").expect("written");
        std::os::unix::fs::symlink(other.path().join(DIR), root.path().join(DIR)).expect("link");
        assert_eq!(root.answers(of), None);
        root.keep_answers(of, "more").expect_err("a link");
        assert_eq!(other.answers(of).as_deref(), Some("text"));
    }
}

//! What a program said of itself, kept beside the units that it made.
//!
//! Nothing needs this: who finds nothing asks the program. So there is no lock, no error for a
//! reader, and of several that write at once the last one wins.

use std::fs;

use crate::root::{read_file, write_by_rename};
use crate::{Digest, Key, Root, WriteError};

const DIR: &str = "answers";

/// How many programs a root knows at most, so that one whose surroundings are never the same doesn't
/// fill the directory.
const MAX_PROGRAMS: usize = 256;

impl Root {
    /// What [`keep_answers`](Root::keep_answers) kept of the program `of`, if it is whole.
    ///
    /// A file has the digest of the text, a line feed, and the text.
    pub fn answers(&self, of: Key) -> Option<String> {
        let path = self.path().join(DIR).join(of.dir_name());
        if self.link_to(&path).is_some() {
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
            let programs = fs::read_dir(&dir).map_err(WriteError::new(&dir))?;
            if programs.count() >= MAX_PROGRAMS {
                return Ok(());
            }
        }
        let contents = format!("{}\n{text}", Digest::of_bytes(text));
        write_by_rename(&dir, &name, contents.as_bytes()).map_err(WriteError::new(&dir))
    }
}

#[cfg(test)]
mod tests {
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
        for number in 0..=MAX_PROGRAMS {
            root.keep_answers(key(&number.to_string()), "text")
                .expect("written");
        }
        let last = key(&MAX_PROGRAMS.to_string());
        assert_eq!(root.answers(last), None);
        root.keep_answers(key("0"), "other").expect("written");
        assert_eq!(root.answers(key("0")).as_deref(), Some("other"));
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
